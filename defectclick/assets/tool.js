// The tool around the picture: buttons, keys, and the messages to and from the kernel (defectclick/tool.py).

const TOOLS = [["click", "Click", "C"], ["brush", "Brush", "B"], ["erase", "Eraser", "E"]];
const SLOW = 150; // ms without an answer before the tool says that it is at work
const LOST = 20_000; // ms without an answer before it doubts that anybody listens
const SILENT = "No answer for 20 seconds. What was drawn before is kept: load this page anew, or start the tool again.";
const HELP = [
  ["Left click", "on the defect"],
  ["Right click, or Shift or Alt and click", "not the defect: take this away"],
  ["1 to 9", "class"],
  ["N", "the next click begins a new defect"],
  ["C, B, E", "click, brush, eraser; right button: the other of brush and eraser"],
  ["[ and ]", "size of the brush"],
  ["Ctrl+Z, Ctrl+Shift+Z", "undo, redo"],
  ["Wheel, + and −", "zoom; 0 fits the image"],
  ["Space and drag, middle drag", "move the image"],
  ["H", "hide or show the mask"],
  ["Enter, S", "save and go to the next image, save"],
  ["Page Up, Page Down", "previous image, next image; nothing drawn is lost"],
  ["Arrows, X, Shift+X", "on the picture: move a cross, click there, take away there"],
];

function made(tag, properties = {}, ...children) {
  const { dataset, attributes, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  Object.assign(element.dataset, dataset);
  for (const [name, value] of Object.entries(attributes ?? {})) element.setAttribute(name, value);
  // The notebook takes keys before anybody else, unless the very element that has the focus says no.
  if (element.tabIndex >= 0) element.setAttribute("data-lm-suppress-shortcuts", "true");
  element.append(...children);
  return element;
}

class Tool {
  constructor(model, el) {
    this.model = model;
    this.page = Math.random(); // answers come to every page that shows this tool; it counts its own messages alone
    this.serial = 0;
    this.answered = 0;
    this.moving = true; // another image is on its way
    this.state = null;
    this.classId = 1;
    this.incoming = Promise.resolve();
    this.build(el);
    this.picture = new Picture(this.canvas, {
      click: (row, column, positive) => this.click(row, column, positive),
      stroke: (stroke) => this.stroke(stroke),
      zoomed: () => this.showZoom(),
    });
    this.picture.resized();
    this.heard = (message, buffers) => {
      this.incoming = this.incoming.then(() => this.take(message, buffers)).catch((error) => this.tell(String(error)));
    };
    model.on("msg:custom", this.heard);
    this.listen();
    this.send({ do: "show" });
  }

  close() {
    this.model.off("msg:custom", this.heard);
    this.picture.close();
    clearTimeout(this.slow);
    clearTimeout(this.lost);
    this.dark.removeEventListener("change", this.recolour);
    this.theme.disconnect();
    this.attached?.disconnect();
  }

  // What there is --------------------------------------------------------------------------------------------------

  build(el) {
    this.button = (label, key, act, properties = {}) => {
      const hint = key ? [made("kbd", { textContent: key, attributes: { "aria-hidden": "true" } })] : [];
      const button = made("button", { type: "button", ...properties }, made("span", { textContent: label }), ...hint);
      button.addEventListener("click", act);
      return button;
    };
    this.root = made("div", {
      className: "defect-click",
      tabIndex: 0,
      attributes: { role: "application", "aria-label": "Defect-Click, labelling of defects by clicks" },
    });
    this.root.append(this.head(), made("div", { className: "dc-body" }, this.stage(), this.panel()), this.foot());
    if (this.model.get("whole_window")) this.fill(el);
    else el.append(this.root);
  }

  fill(el) {
    // A modal dialog lies above all of the notebook, whatever that does with its boxes.
    this.dialog = made("dialog", { className: "defect-click-window" }, this.root);
    this.dialog.addEventListener("cancel", (event) => event.preventDefault());
    el.append(this.dialog);
    // The notebook attaches its outputs after this, and may do so again.
    const open = () => this.dialog.isConnected && !this.dialog.open && this.dialog.showModal();
    this.attached = new MutationObserver(open);
    this.attached.observe(document.body, { childList: true, subtree: true });
    open();
  }

  head() {
    this.previous = this.button("Previous", "", () => this.step(-1), { title: "Previous image (Page Up)" });
    this.following = this.button("Next", "", () => this.step(1), { title: "Next image (Page Down)" });
    this.where = made("strong", { className: "dc-where" });
    this.name = made("span", { className: "dc-name" });
    this.progress = made("progress", { attributes: { "aria-label": "Images labelled" } });
    this.done = made("span", { className: "dc-done" });
    this.status = made("span", { className: "dc-status", attributes: { role: "status" } });
    this.saved = this.button("Save", "S", () => this.save(false), { title: "Save this image (S)" });
    this.next = this.button("Save, next", "Enter", () => this.save(true), {
      className: "dc-first",
      title: "Save this image and go to the next that is not labelled (Enter)",
    });
    return made(
      "header", {},
      made("div", { className: "dc-group" }, this.previous, this.where, this.following),
      this.name,
      made("div", { className: "dc-group dc-progress" }, this.progress, this.done),
      made("div", { className: "dc-group dc-saving" }, this.status, this.saved, this.next),
    );
  }

  stage() {
    this.canvas = made("canvas", {
      tabIndex: 0,
      attributes: { role: "img", "aria-label": "The image and its mask; arrows move a cross, X clicks there" },
    });
    this.empty = made("p", { className: "dc-empty", hidden: true });
    return made("div", { className: "dc-stage" }, this.canvas, this.empty);
  }

  panel() {
    this.classes = made("div", { className: "dc-classes", attributes: { role: "group", "aria-label": "Class" } });
    this.fresh = this.button("New defect", "N", () => this.begin(), { title: "The next click begins a new defect (N)" });
    this.modes = TOOLS.map(([name, label, key]) => this.button(label, key, () => this.use(name), { dataset: { tool: name } }));
    this.size = this.slider("Brush size", 0, 40, 4, 1, (value) => {
      this.picture.radius = value;
      this.picture.draw();
      return `${2 * value + 1} px`;
    });
    this.undo = this.button("Undo", "Ctrl+Z", () => this.act("undo"));
    this.redo = this.button("Redo", "", () => this.act("redo"), { title: "Redo (Ctrl+Shift+Z)" });
    this.wipe = this.button("Clear", "", () => this.act("clear"), { title: "Take all defects away; undo brings them back" });
    const percent = (name) => (value) => {
      this.picture[name] = value / 100;
      this.picture.draw();
      return `${value} %`;
    };
    this.opacity = this.slider("Mask", 0, 100, 45, 5, percent("opacity"));
    this.contrast = this.slider("Contrast", 50, 400, 100, 10, percent("contrast"));
    this.hide = this.button("Hide mask", "H", () => this.toggle(), { attributes: { "aria-pressed": "false" } });
    this.whole = this.button("Fit", "0", () => this.picture.fit(), { title: "Show the whole image (0)" });
    const rows = HELP.map(([keys, what]) => made("div", {}, made("dt", { textContent: keys }), made("dd", { textContent: what })));
    const section = (title, ...children) => made("section", {}, made("h2", { textContent: title }), ...children);
    const row = (...children) => made("div", { className: "dc-row" }, ...children);
    return made(
      "aside", {},
      section("Class", this.classes, row(this.fresh)),
      section("Tool", made("div", { className: "dc-modes" }, ...this.modes), this.size, row(this.undo, this.redo, this.wipe)),
      section("View", this.opacity, this.contrast, row(this.hide, this.whole)),
      made("details", {}, made("summary", { textContent: "Mouse and keys" }), made("dl", {}, ...rows)),
    );
  }

  slider(label, min, max, value, step, act) {
    const input = made("input", { type: "range", min, max, step, value });
    const output = made("output");
    const changed = () => {
      output.value = this.picture ? act(Number(input.value)) : "";
    };
    input.addEventListener("input", changed);
    queueMicrotask(changed);
    const row = made("label", { className: "dc-slider" }, made("span", { textContent: label }), input, output);
    row.by = (steps) => {
      input.value = Number(input.value) + steps * step;
      changed();
    };
    return row;
  }

  foot() {
    this.error = made("p", { className: "dc-error", hidden: true, attributes: { role: "alert" } });
    this.hint = made("span", { className: "dc-hint" });
    this.zoomed = made("span");
    this.timing = made("span");
    return made("footer", {}, this.error, made("div", { className: "dc-group" }, this.hint, this.zoomed, this.timing));
  }

  // To the kernel --------------------------------------------------------------------------------------------------

  send(message) {
    this.serial += 1;
    this.model.send({ ...message, serial: this.serial, page: this.page, key: this.state?.key ?? "" });
    this.wait();
    return this.serial;
  }

  wait() {
    const pending = this.serial - this.answered;
    Object.assign(this.root.dataset, { pending, moving: this.moving });
    clearTimeout(this.slow);
    clearTimeout(this.lost);
    this.root.removeAttribute("aria-busy");
    if (!pending) return this.showStatus();
    this.slow = setTimeout(() => {
      this.root.setAttribute("aria-busy", "true");
      this.showStatus();
    }, SLOW);
    this.lost = setTimeout(() => this.tell(SILENT), LOST);
    return undefined;
  }

  get ready() {
    return !this.moving && this.state !== null && this.state.status !== "unreadable";
  }

  click(row, column, positive) {
    if (!this.ready) return;
    const colour = this.colourOf(this.classId);
    const serial = this.send({ do: "click", row, column, positive, class_id: this.classId });
    this.picture.waiting.push({ row, column, positive, colour, serial, faint: true });
    this.picture.draw();
  }

  stroke(stroke) {
    if (!this.ready) return;
    const { points, radius, erase } = stroke;
    const serial = this.send({ do: "stroke", points, radius, erase, class_id: this.classId });
    this.picture.waiting.push({ ...stroke, serial });
  }

  act(name) {
    if (this.ready) this.send({ do: name });
  }

  choose(classId) {
    if (!this.ready || classId > this.state.classes.length) return;
    this.classId = classId;
    this.send({ do: "choose", class_id: classId });
    this.showClasses();
  }

  begin() {
    if (this.ready) this.send({ do: "begin", class_id: this.classId });
  }

  save(next) {
    if (!this.ready) return;
    this.moving = next;
    this.send({ do: "save", next });
  }

  step(places) {
    const place = (this.state?.place ?? 0) + places;
    if (this.moving || !this.state || place < 0 || place >= this.state.count) return;
    this.moving = true;
    this.send({ do: "go", place });
  }

  // From the kernel ------------------------------------------------------------------------------------------------

  async take(state, buffers) {
    const [mask, image] = buffers.map((view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
    if (state.with_image) this.picture.show(await createImageBitmap(new Blob([image], { type: "image/png" })));
    else if (!mask) this.picture.clear();
    this.state = state;
    if (state.page === this.page) this.answered = state.serial;
    this.picture.waiting = this.picture.waiting.filter((each) => each.serial > this.answered);
    if (mask && this.picture.image) await this.takeMask(state, mask);
    if (this.answered >= this.serial) {
      this.moving = false;
      this.classId = state.class_id ?? this.classId;
    }
    this.showAll();
    this.wait();
  }

  async takeMask(state, mask) {
    const stream = new Blob([mask]).stream().pipeThrough(new DecompressionStream("deflate"));
    const index = new Uint8Array(await new Response(stream).arrayBuffer());
    this.picture.marks = state.marks.map((mark) => ({
      ...mark, colour: this.colourOf(mark.class_id), faint: mark.of !== state.current,
    }));
    this.picture.setMask(index, state.box, state.colours);
  }

  // What is shown --------------------------------------------------------------------------------------------------

  colourOf(classId) {
    const { colours } = this.state;
    return colours[(classId - 1) % colours.length];
  }

  tell(error) {
    this.error.hidden = !error;
    this.error.textContent = error;
  }

  showAll() {
    const { state } = this;
    const unreadable = state.status === "unreadable";
    this.where.textContent = `${state.place + 1} of ${state.count}`;
    this.name.textContent = this.name.title = state.source;
    this.progress.max = state.count;
    this.progress.value = state.labelled;
    this.done.textContent = state.labelled === state.count ? "all labelled" : `${state.labelled} labelled`;
    this.previous.disabled = state.place === 0;
    this.following.disabled = state.place === state.count - 1;
    this.undo.disabled = !state.undo;
    this.redo.disabled = !state.redo;
    for (const button of [this.saved, this.next, this.wipe, this.fresh, ...this.modes]) button.disabled = unreadable;
    this.timing.textContent = state.milliseconds ? `${state.method}, ${state.milliseconds} ms` : state.method;
    this.empty.hidden = !unreadable;
    this.empty.textContent = "This image cannot be shown; the reason stands below. The others can be labelled.";
    Object.assign(this.root.dataset, { key: state.key, status: state.status });
    this.tell(state.error);
    this.showClasses();
    this.showHint();
  }

  showStatus() {
    const { state } = this;
    const words = { new: "not labelled", unsaved: "not saved", saved: "saved", unreadable: "not readable" };
    const busy = this.root.hasAttribute("aria-busy") && this.serial > this.answered;
    this.status.textContent = busy ? "working …" : state ? words[state.status] : "opening …";
    this.status.dataset.status = busy ? "busy" : (state?.status ?? "busy");
  }

  showClasses() {
    const { classes, pixels } = this.state;
    if (this.classes.childElementCount !== classes.length) {
      this.classes.replaceChildren(...classes.map((name, i) => {
        const button = this.button(name, i < 9 ? String(i + 1) : "", () => this.choose(i + 1));
        button.prepend(made("i", { attributes: { "aria-hidden": "true", style: `background: ${this.colourOf(i + 1)}` } }));
        button.lastElementChild.before(made("small"));
        return button;
      }));
    }
    [...this.classes.children].forEach((button, i) => {
      button.setAttribute("aria-pressed", String(i + 1 === this.classId));
      button.querySelector("small").textContent = pixels?.[i] ? `${pixels[i].toLocaleString("en-GB")} px` : "";
    });
    this.picture.colour = this.colourOf(this.classId);
  }

  showHint() {
    const name = this.state.classes[this.classId - 1];
    const { tool } = this.picture;
    const begun = this.state.current !== null && this.state.current !== undefined;
    const hints = {
      click: begun ? `Click: more of this ${name}. Right click: not the defect.` : `Click on a ${name}; it is a new defect.`,
      brush: `Drag: paint ${name}. Right button: erase.`,
      erase: `Drag: erase whatever is there. Right button: paint ${name}.`,
    };
    this.fresh.setAttribute("aria-pressed", String(!begun && this.state.marks?.length > 0));
    this.hint.textContent = this.ready ? hints[tool] : "";
    for (const button of this.modes) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
    this.canvas.dataset.tool = tool;
  }

  showZoom() {
    this.zoomed.textContent = `${Math.round(100 * this.picture.scale)} %`;
  }

  use(tool) {
    this.picture.tool = tool;
    this.picture.draw();
    if (this.state) this.showHint();
  }

  toggle() {
    this.picture.hidden = !this.picture.hidden;
    this.hide.setAttribute("aria-pressed", String(this.picture.hidden));
    this.picture.draw();
  }

  // Keys and colours -----------------------------------------------------------------------------------------------

  listen() {
    this.root.addEventListener("keydown", (event) => this.pressed(event));
    this.root.addEventListener("keyup", (event) => {
      if (event.key === " ") this.pan(false);
    });
    this.root.addEventListener("focusout", () => this.pan(false));
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.recolour = () => {
      const light = document.body.dataset.jpThemeLight; // of the notebook, where it has a theme
      this.root.classList.toggle("dc-dark", light === undefined || this.dialog ? this.dark.matches : light === "false");
    };
    this.dark.addEventListener("change", this.recolour);
    this.theme = new MutationObserver(this.recolour);
    this.theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
    this.recolour();
    if (this.dialog) this.canvas.focus({ preventScroll: true });
  }

  pan(on) {
    this.picture.panning = on;
    this.canvas.classList.toggle("dc-panning", on);
  }

  pressed(event) {
    event.stopPropagation(); // the notebook has keys of its own
    const command = event.ctrlKey || event.metaKey;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const onButton = event.target.matches("button:focus-visible, summary:focus-visible");
    if ((key === "Enter" || key === " ") && onButton) return;
    if (event.target.matches("input") && /^(Arrow|Page|Home|End)/.test(key)) return;
    const commands = {
      z: () => this.act(event.shiftKey ? "redo" : "undo"), y: () => this.act("redo"), s: () => this.save(false),
    };
    const act = command ? commands[key] : event.altKey ? null : this.keys(key, event);
    if (!act) return;
    event.preventDefault();
    act();
  }

  keys(key, event) {
    if (/^[1-9]$/.test(key)) return () => this.choose(Number(key));
    const far = event.shiftKey ? 10 : 1;
    const acts = {
      n: () => this.begin(), c: () => this.use("click"), b: () => this.use("brush"), e: () => this.use("erase"),
      "[": () => this.size.by(-1), "]": () => this.size.by(1), h: () => this.toggle(), 0: () => this.picture.fit(),
      "+": () => this.picture.zoom(1.25), "=": () => this.picture.zoom(1.25), "-": () => this.picture.zoom(0.8),
      s: () => this.save(false), Enter: () => this.save(true), " ": () => this.pan(true),
      PageUp: () => this.step(-1), PageDown: () => this.step(1),
    };
    const onPicture = {
      ArrowUp: () => this.picture.moveCrosshair(-far, 0), ArrowDown: () => this.picture.moveCrosshair(far, 0),
      ArrowLeft: () => this.picture.moveCrosshair(0, -far), ArrowRight: () => this.picture.moveCrosshair(0, far),
      x: () => this.picture.crosshair && this.click(...this.picture.crosshair, !event.shiftKey),
    };
    return acts[key] ?? (event.target === this.canvas ? onPicture[key] : undefined);
  }
}

export default {
  render({ model, el }) {
    const tool = new Tool(model, el);
    return () => tool.close();
  },
};
