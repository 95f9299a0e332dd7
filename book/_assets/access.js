// What the theme and the widgets leave unsaid to who uses a keyboard or a screen reader, or say wrongly.
document.addEventListener("DOMContentLoaded", function () {
  const all = (selector) => document.querySelectorAll(selector);

  // A name that an attribute gives in place of the visible words hides these words from whoever speaks them.
  all("details.hide > summary, .search-button-field").forEach((element) => element.removeAttribute("aria-label"));

  // Sphinx gives references a role that lists do not hold.
  all(".citation-list > .citation").forEach((reference) => reference.setAttribute("role", "listitem"));

  // Pictures in a button that has a name say nothing more. A script of the theme puts them in place of <i>, sometime.
  const icons = function () {
    all("button[aria-label] i[title]").forEach((icon) => icon.removeAttribute("title"));
    all("button[aria-label] svg:has(title)").forEach(function (icon) {
      icon.querySelector("title").remove();
      icon.removeAttribute("role");
      icon.setAttribute("aria-hidden", "true");
    });
  };
  icons();
  addEventListener("load", icons);

  // What scrolls can be reached with the keyboard; the theme sees to code and tables.
  const reachable = function () {
    all(".bd-article figure").forEach((figure) => (figure.tabIndex = figure.scrollWidth > figure.clientWidth ? 0 : -1));
  };
  addEventListener("load", reachable);
  addEventListener("resize", reachable);

  // Labels of widgets have a tooltip that reads "null".
  const labels = () => all(".widget-label[title=null]").forEach((label) => label.removeAttribute("title"));
  new MutationObserver(labels).observe(document.querySelector("main"), { childList: true, subtree: true });
});
