// The picture: image, mask, contours and clicks on one canvas, with zoom and pan. Image coordinates are (row, column) in
// pixels; a pixel's middle is a whole number. It knows nothing of messages: it calls `acts` when a gesture is complete.

const SLOP = 6; // CSS pixels that a finger or a mouse may move in a click
const MARK = 7; // radius of a click's mark, CSS pixels
const TILE = 256; // pixels a side of what contours are drawn anew for

class Picture {
  constructor(canvas, acts) {
    this.canvas = canvas;
    this.acts = acts; // click(row, column, positive), stroke(points, erase), zoomed()
    this.tool = "click";
    this.radius = 4;
    this.opacity = 0.45;
    this.contrast = 1;
    this.hidden = false;
    this.colour = "#fff"; // of the brush
    this.panning = false; // the space bar is held
    this.clear();
    this.pointers = new Map();
    this.listen();
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(canvas.parentElement);
  }

  clear() {
    this.image = null;
    this.mask = null;
    this.edges = new Map(); // of tiles: [[colour, path], ...]
    this.marks = [];
    this.waiting = []; // strokes and clicks that the kernel has not answered yet
    this.stroke = null;
    this.pointer = null;
    this.crosshair = null;
    this.draw();
  }

  close() {
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
  }

  // What is shown --------------------------------------------------------------------------------------------------

  show(image) {
    this.clear();
    this.image = image;
    this.index = new Uint8Array(image.width * image.height);
    this.mask = new OffscreenCanvas(image.width, image.height);
    this.fit();
  }

  setMask(part, [top, left, bottom, right], colours) {
    if (part.length) {
      const { width, height } = this.image;
      const table = new Uint32Array(256);
      for (let k = 1; k < 256; k += 1) table[k] = packed(colours[(k - 1) % colours.length]);
      const pixels = new ImageData(right - left, bottom - top);
      new Uint32Array(pixels.data.buffer).set(Uint32Array.from(part, (k) => table[k]));
      this.mask.getContext("2d").putImageData(pixels, left, top);
      for (let row = top; row < bottom; row += 1) {
        this.index.set(part.subarray((row - top) * pixels.width, (row - top + 1) * pixels.width), row * width + left);
      }
      // A tile has the edges above and to the left of its pixels, so those below and to the right may be another's.
      for (let row = top - (top % TILE); row <= bottom; row += TILE) {
        for (let column = left - (left % TILE); column <= right; column += TILE) {
          const paths = contours(this.index, width, height, row, column);
          this.edges.set(`${row} ${column}`, paths.map(([k, path]) => [colours[(k - 1) % colours.length], path]));
        }
      }
    }
    this.draw();
  }

  fit() {
    if (!this.image) return;
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    this.scale = Math.max(0.01, Math.min((width - 16) / this.image.width, (height - 16) / this.image.height));
    this.left = (width - this.scale * this.image.width) / 2;
    this.top = (height - this.scale * this.image.height) / 2;
    this.fitted = true;
    this.moved();
  }

  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    if (!this.image) return;
    const scale = Math.min(64, Math.max(0.05, this.scale * factor));
    this.left = x - ((x - this.left) * scale) / this.scale;
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.fitted = false;
    this.moved();
  }

  pan(right, down) {
    this.left += right;
    this.top += down;
    this.fitted = false;
    this.moved();
  }

  moved() {
    // Some of the image always stays in sight.
    const { clientWidth: width, clientHeight: height } = this.canvas;
    this.left = Math.min(width - 32, Math.max(32 - this.scale * this.image.width, this.left));
    this.top = Math.min(height - 32, Math.max(32 - this.scale * this.image.height, this.top));
    Object.assign(this.canvas.dataset, { scale: this.scale, left: this.left, top: this.top });
    this.acts.zoomed();
    this.draw();
  }

  resized() {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    const density = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(width * density));
    this.canvas.height = Math.max(1, Math.round(height * density));
    if (this.image && this.fitted) this.fit();
    else this.draw();
  }

  // Drawing --------------------------------------------------------------------------------------------------------

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.paint());
  }

  paint() {
    const context = this.canvas.getContext("2d");
    const density = window.devicePixelRatio || 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.image) return;
    const scale = this.scale * density;
    context.setTransform(scale, 0, 0, scale, this.left * density, this.top * density);
    context.imageSmoothingEnabled = this.scale < 1;
    context.imageSmoothingQuality = "high";
    context.filter = this.contrast === 1 ? "none" : `contrast(${this.contrast})`;
    context.drawImage(this.image, 0, 0);
    context.filter = "none";
    if (!this.hidden) this.paintMask(context);
    if (!this.hidden) for (const stroke of this.waiting) if (stroke.points) this.paintStroke(context, stroke);
    if (this.stroke) this.paintStroke(context, this.stroke);
    if (!this.hidden) this.paintMarks(context);
    this.paintPointer(context);
  }

  paintMask(context) {
    context.imageSmoothingEnabled = false;
    context.globalAlpha = this.opacity;
    context.drawImage(this.mask, 0, 0);
    context.globalAlpha = 1;
    context.lineJoin = "round";
    for (const [width, own] of [[3.2, false], [1.6, true]]) {
      context.lineWidth = width / this.scale;
      for (const [colour, path] of [...this.edges.values()].flat()) {
        context.strokeStyle = own ? colour : "rgba(0, 0, 0, 0.55)";
        context.stroke(path);
      }
    }
  }

  paintStroke(context, stroke) {
    context.strokeStyle = context.fillStyle = stroke.erase ? "rgba(255, 255, 255, 0.55)" : stroke.colour;
    context.globalAlpha = stroke.erase ? 1 : Math.max(0.3, this.opacity);
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = Math.max(1, 2 * stroke.radius + 1);
    context.beginPath();
    for (const [row, column] of stroke.points) context.lineTo(column + 0.5, row + 0.5);
    const [row, column] = stroke.points[0];
    if (stroke.points.length === 1) context.lineTo(column + 0.501, row + 0.5);
    context.stroke();
    context.globalAlpha = 1;
  }

  paintMarks(context) {
    const waiting = this.waiting.filter((mark) => !mark.points);
    for (const mark of [...this.marks, ...waiting]) {
      const radius = MARK / this.scale;
      const [x, y] = [mark.column + 0.5, mark.row + 0.5];
      context.globalAlpha = mark.faint ? 0.55 : 1;
      context.beginPath();
      context.arc(x, y, radius, 0, 7);
      context.fillStyle = mark.positive ? "#fff" : "#111";
      context.fill();
      context.lineWidth = 2.4 / this.scale;
      context.strokeStyle = mark.colour;
      context.stroke();
      cross(context, x, y, radius / 2, mark.positive);
      context.lineWidth = 2 / this.scale;
      context.strokeStyle = mark.positive ? "#111" : "#fff";
      context.stroke();
      context.globalAlpha = 1;
    }
  }

  paintPointer(context) {
    const twice = (...pens) => {
      for (const [width, colour] of pens) {
        context.lineWidth = width / this.scale;
        context.strokeStyle = colour;
        context.stroke();
      }
    };
    if (this.crosshair) {
      cross(context, this.crosshair[1] + 0.5, this.crosshair[0] + 0.5, 14 / this.scale, true);
      twice([4, "#000"], [1.6, "#fff"]);
    }
    if (!this.pointer || this.tool === "click") return;
    context.beginPath();
    context.arc(this.pointer[1] + 0.5, this.pointer[0] + 0.5, this.radius + 0.5, 0, 7);
    twice([3, "rgba(0, 0, 0, 0.7)"], [1.2, "#fff"]);
  }

  // Gestures -------------------------------------------------------------------------------------------------------

  listen() {
    const on = (name, act, options) => this.canvas.addEventListener(name, act, options);
    on("contextmenu", (event) => event.preventDefault());
    on("wheel", (event) => this.wheeled(event), { passive: false });
    on("pointerdown", (event) => this.pressed(event));
    on("pointermove", (event) => this.dragged(event));
    on("pointerup", (event) => this.released(event));
    on("pointercancel", (event) => this.released(event, true));
    on("pointerleave", () => {
      this.pointer = null;
      this.draw();
    });
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    return { x, y, row: (y - this.top) / this.scale - 0.5, column: (x - this.left) / this.scale - 0.5 };
  }

  inside(row, column) {
    return row >= 0 && column >= 0 && row < this.image.height && column < this.image.width;
  }

  wheeled(event) {
    event.preventDefault();
    if (!this.image) return;
    const { x, y } = this.place(event);
    const lines = event.deltaMode === 1 ? 30 : 1;
    this.zoom(Math.exp(-0.002 * lines * Math.max(-200, Math.min(200, event.deltaY))), x, y);
  }

  pressed(event) {
    if (!this.image) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    const at = this.place(event);
    this.crosshair = null;
    this.pointers.set(event.pointerId, at);
    if (this.pointers.size > 1) {
      this.gesture = { kind: "pinch" };
      this.stroke = null;
    } else if (event.button === 1 || this.panning) this.gesture = { kind: "pan" };
    else if (this.tool === "click") this.gesture = { kind: "click", at, positive: plain(event) };
    else {
      this.gesture = { kind: "stroke" };
      const erase = (this.tool === "erase") === plain(event);
      this.stroke = { points: [[at.row, at.column]], radius: this.radius, erase, colour: this.colour };
    }
    this.draw();
  }

  dragged(event) {
    if (!this.image) return;
    const at = this.place(event);
    this.pointer = [at.row, at.column];
    const before = this.pointers.get(event.pointerId);
    if (before && this.gesture) this.follow(event, before, at);
    this.draw();
  }

  follow(event, before, at) {
    const { gesture } = this;
    if (gesture.kind === "pinch") this.pinch(event.pointerId, before, at);
    if (gesture.kind === "click" && Math.hypot(at.x - gesture.at.x, at.y - gesture.at.y) > SLOP) gesture.kind = "pan";
    if (gesture.kind === "pan") this.pan(at.x - before.x, at.y - before.y);
    if (gesture.kind === "stroke") {
      const places = (event.getCoalescedEvents?.() ?? []).map((each) => this.place(each));
      for (const { row, column } of places.length ? places : [at]) this.extend(row, column);
    }
    this.pointers.set(event.pointerId, this.place(event));
  }

  extend(row, column) {
    const { points } = this.stroke;
    const [lastRow, lastColumn] = points[points.length - 1];
    if (Math.hypot(row - lastRow, column - lastColumn) >= 0.5) points.push([row, column]);
  }

  pinch(moving, before, at) {
    const other = [...this.pointers].find(([id]) => id !== moving)?.[1];
    if (!other) return;
    const gap = (place) => Math.max(1, Math.hypot(place.x - other.x, place.y - other.y));
    this.zoom(gap(at) / gap(before), (at.x + other.x) / 2, (at.y + other.y) / 2);
    this.pan((at.x - before.x) / 2, (at.y - before.y) / 2);
  }

  released(event, cancelled = false) {
    const { gesture } = this;
    this.pointers.delete(event.pointerId);
    if (!cancelled && (this.pointers.size || !gesture)) return;
    this.gesture = null;
    if (!cancelled && gesture.kind === "click") {
      const [row, column] = [Math.round(gesture.at.row), Math.round(gesture.at.column)];
      if (this.inside(row, column)) this.acts.click(row, column, gesture.positive);
    }
    if (!cancelled && gesture.kind === "stroke" && this.stroke) this.acts.stroke(this.stroke);
    this.stroke = null;
    this.draw();
  }

  moveCrosshair(down, right) {
    if (!this.image) return;
    const [row, column] = this.crosshair ?? [this.image.height >> 1, this.image.width >> 1];
    const within = (value, size) => Math.min(size - 1, Math.max(0, value));
    this.crosshair = [within(row + down, this.image.height), within(column + right, this.image.width)];
    this.draw();
  }
}

const plain = (event) => event.button === 0 && !event.shiftKey && !event.altKey && !event.ctrlKey;

function cross(context, x, y, reach, upright) {
  context.beginPath();
  context.moveTo(x - reach, y);
  context.lineTo(x + reach, y);
  if (!upright) return;
  context.moveTo(x, y - reach);
  context.lineTo(x, y + reach);
}

function packed(colour) {
  const value = parseInt(colour.slice(1), 16);
  const bytes = [value >> 16, (value >> 8) & 255, value & 255, 255];
  return new Uint32Array(new Uint8ClampedArray(bytes).buffer)[0];
}

/** Lines along the edges of pixels around every class, in a tile: [[class, Path2D], ...]. */
function contours(index, width, height, top, left) {
  const paths = new Map();
  const line = (k, ...points) => {
    if (!k) return;
    if (!paths.has(k)) paths.set(k, new Path2D());
    paths.get(k).moveTo(points[0], points[1]);
    paths.get(k).lineTo(points[2], points[3]);
  };
  const at = (row, column) => (row < 0 || column < 0 || row >= height || column >= width ? 0 : index[row * width + column]);
  // Runs of one pair of neighbours are one line.
  const sweep = (firstLine, lines, first, length, pair, draw) => {
    const end = Math.min(first + TILE, length);
    for (let i = firstLine; i <= Math.min(firstLine + TILE - 1, lines); i += 1) {
      let start = first;
      let [a, b] = [0, 0];
      for (let j = first; j <= end; j += 1) {
        const [c, d] = j < end ? pair(i, j) : [0, 0];
        if (c === a && d === b) continue;
        if (a !== b) for (const k of [a, b]) draw(k, i, start, j);
        [start, a, b] = [j, c, d];
      }
    }
  };
  sweep(top, height, left, width, (i, j) => [at(i - 1, j), at(i, j)], (k, i, from, to) => line(k, from, i, to, i));
  sweep(left, width, top, height, (i, j) => [at(j, i - 1), at(j, i)], (k, i, from, to) => line(k, i, from, i, to));
  return [...paths];
}
