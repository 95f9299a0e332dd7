// Turns the book on one page into what is printed: title page, contents with page numbers, chapters.
(about) => {
  const article = document.querySelector("article.bd-article");
  const element = (name, properties, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const words = (heading) => {
    const copy = heading.cloneNode(true);
    copy.querySelectorAll(".headerlink").forEach((link) => link.remove());
    return copy.textContent.trim();
  };
  // Links between pages of the book lead within this one; those to files would lead into a folder of whoever built it.
  for (const link of article.querySelectorAll("a[href]")) {
    const address = link.getAttribute("href");
    const goal = address.split("#")[1];
    if (goal && document.getElementById(goal)) link.setAttribute("href", `#${goal}`);
    else if (!/^https?:/.test(address)) link.removeAttribute("href");
  }
  // Parts and their chapters. The heading of a chapter follows the place that Sphinx marks with the name of its file.
  const list = element("ol", {});
  for (const { caption, files } of about.parts) {
    if (caption) list.append(element("li", { className: "part" }, caption));
    for (const file of files) {
      const place = document.getElementById(`document-${file}`);
      const heading = place ? place.nextElementSibling.querySelector("h1, h2, h3, h4") : article.querySelector("h1");
      heading.id = `print-${list.children.length}`;
      heading.classList.add("chapter");
      const number = element("span", { className: "page-number", textContent: "000" });
      number.dataset.goal = heading.id;
      list.append(element("li", {}, element("a", { href: `#${heading.id}` }, words(heading)), number));
    }
  }
  const contents = element("nav", { id: "print-contents" }, element("h1", {}, "Contents"), list);
  const lines = about.lines.map((line) => element("p", {}, line));
  const title = element("header", { id: "print-title" }, element("h1", {}, about.title), ...lines);
  document.body.replaceChildren(title, contents, article);
  document.documentElement.dataset.theme = "light";
}
