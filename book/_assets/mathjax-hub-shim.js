// The widget manager typesets labels through MathJax 2's `MathJax.Hub.Queue`; this book has MathJax 3, which replaces
// `window.MathJax` as it starts. So the missing name is added once the page's scripts have run, before widgets appear.
document.addEventListener("DOMContentLoaded", function () {
  const math = window.MathJax;
  if (!math || math.Hub) return; // a page without mathematics
  math.Hub = {
    Queue: function (request) {
      math.startup.promise.then(() => math.typesetPromise([request[2]]));
    },
  };
});
