// Names for the handles of ipywidgets' sliders, which have a role but none: their label, and the text of their value.
(function () {
  "use strict";

  function name(slider) {
    const handle = slider.querySelector(".noUi-handle");
    const label = slider.querySelector(".widget-label");
    const readout = slider.querySelector(".widget-readout");
    if (!handle || !label || !readout) {
      return;
    }
    const tell = (attribute, text) => {
      if (handle.getAttribute(attribute) !== text) {
        handle.setAttribute(attribute, text);
      }
    };
    tell("aria-label", label.textContent.trim());
    tell("aria-valuetext", readout.textContent.trim());
  }

  // Widgets come long after the page; what moves in them is watched as long as it is open.
  document.addEventListener("DOMContentLoaded", () => {
    const all = () => document.querySelectorAll(".widget-slider").forEach(name);
    const watched = { subtree: true, childList: true, characterData: true, attributeFilter: ["aria-valuetext"] };
    document.querySelectorAll(".cell_output").forEach((output) => new MutationObserver(all).observe(output, watched));
    all();
  });
})();
