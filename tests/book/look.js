// What tests ask of an open page; each function gives a list of faults, as texts.
window.look = {
  // Of accessibility, serious or critical, within the element that `where` finds; `rules` are all of them if null.
  async violations(where, rules) {
    const chosen = rules ? { runOnly: rules } : {};
    const found = await axe.run(where, { preload: false, resultTypes: ["violations"], ...chosen });
    const grave = found.violations.filter((violation) => ["serious", "critical"].includes(violation.impact));
    return grave.flatMap(({ id, impact, nodes }) =>
      nodes.map((node) => `${id} (${impact}): ${node.target.join(" ")}: ${node.html.slice(0, 120)}`));
  },

  // Pictures that are broken, or have no words in their stead.
  pictures() {
    return [...document.images].flatMap((image) => [
      ...(image.complete && image.naturalWidth ? [] : [`broken: ${image.src.slice(0, 80)}`]),
      ...(image.alt.trim().length > 10 ? [] : [`says too little ("${image.alt}"): ${image.src.slice(0, 80)}`]),
    ]);
  },

  // What sticks out of the screen without a box around it that scrolls, or is cut off by one that does not.
  overflow() {
    const width = document.documentElement.clientWidth;
    const page = document.documentElement.scrollWidth;
    const faults = page > width ? [`the page is ${page} px wide`] : [];
    for (const element of document.querySelectorAll("article.bd-article *")) {
      const { width: own, height, right } = element.getBoundingClientRect();
      if (!own || !height || right <= width + 1) continue;
      let around = element.parentElement;
      while (around && !stops(around, right)) around = around.parentElement;
      const cut = around && ["hidden", "clip"].includes(getComputedStyle(around).overflowX);
      if (!around || around.matches("html, body") || cut) faults.push(`${name(element)} ends at ${Math.round(right)} px`);
    }
    return faults;
  },

  // From now on, remember what has the keyboard's focus, and whether that is seen.
  watchFocus() {
    window.reached = new Set();
    window.unseen = new Set();
    document.addEventListener("focusin", ({ target }) => {
      const style = getComputedStyle(target);
      reached.add(target);
      if (style.outlineStyle === "none" && style.boxShadow === "none") unseen.add(target);
    });
  },

  // Of the elements that `selector` finds in the text, those that never had the focus, or not to be seen.
  missedFocus(selector) {
    const wanted = [...document.querySelectorAll(`article.bd-article :is(${selector})`)].filter((element) =>
      element.checkVisibility({ visibilityProperty: true }) && element.tabIndex >= 0 && !element.disabled);
    const missed = wanted.filter((element) => !reached.has(element)).map((element) => `not reached: ${name(element)}`);
    return [...missed, ...wanted.filter((element) => unseen.has(element)).map((element) => `not seen: ${name(element)}`)];
  },
};

// Whether what reaches as far as `right` meets a border of `element` beyond which it is cut off, or scrolled to.
function stops(element, right) {
  const { overflowX } = getComputedStyle(element);
  const clips = ["hidden", "clip"].includes(overflowX);
  return clips ? right > element.getBoundingClientRect().right + 1 : overflowX !== "visible";
}

function name(element) {
  return `${element.tagName.toLowerCase()}.${element.className} ${element.textContent.trim().slice(0, 40)}`;
}
