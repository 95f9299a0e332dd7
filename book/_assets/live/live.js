// Defect-Gen in the page: two ONNX nets in a worker, the DDIM loop of defectlib/defectgen/pipeline.py here.
// Schedule, timesteps and sizes come from the table that defectlib/defectgen/live.py writes.
(function () {
  "use strict";

  const here = new URL(".", document.currentScript.src);
  // onnxruntime-web 1.30.0; `sizes` in bytes, for the progress bar.
  const RUNTIME = { folder: new URL("../vendor/onnxruntime-web/", here), sizes: { ort: 33000, wasm: 4870000 } };
  const VARIED = [0, 200, 400, 600, 800, 1000];
  const KEPT = 12; // results in the strip

  // Payloads: a script calls LIVE.put(name, base64 of gzip), since a page opened from disk may not fetch files.
  const arrived = new Map();
  window.LIVE = { put: (name, text) => arrived.set(name, text) };
  const requested = new Map();

  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  }

  function payload(folder, name) {
    const url = new URL(`${name}.js`, folder).href;
    if (!requested.has(url)) {
      requested.set(url, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = url;
        script.onload = () => { script.remove(); unpack(arrived.get(name)).then(resolve, reject); };
        script.onerror = () => { requested.delete(url); reject(new Error(`${name}.js is not beside this page`)); };
        document.head.append(script);
      }));
    }
    return requested.get(url);
  }

  // What runs in the worker, behind the runtime's own text. A classic blob worker is the one kind that Chromium,
  // Firefox and WebKit all start from file://.
  function serve(ort) {
    const sessions = {};
    return {
      start: ({ wasm }) => { Object.assign(ort.env.wasm, { numThreads: 1, wasmBinary: wasm }); ort.env.logLevel = "error"; },
      load: async ({ name, model }) => { sessions[name] = await ort.InferenceSession.create(new Uint8Array(model), { executionProviders: ["wasm"] }); },
      run: async ({ name, x, t, shape }) => {
        const feeds = { x: new ort.Tensor("float32", x, shape), t: new ort.Tensor("int64", BigInt64Array.of(BigInt(t)), [1]) };
        return Float32Array.from((await sessions[name].run(feeds)).x_0.data);
      },
    };
  }

  function startWorker(module) {
    let text = new TextDecoder().decode(module);
    const replace = (pattern, by) => { // each belongs to this version of the runtime
      if (!pattern.test(text)) throw new Error(`the runtime is not the one that this page was written for: ${pattern}`);
      text = text.replace(pattern, by);
    };
    replace(/import\.meta\.url/g, "self.location.href");
    replace(/maximum:65536,shared/, "maximum:4096,shared"); // 256 MB of address space and not 4 GB, for phones
    replace(/export\s*\{([^}]*)\};?\s*(?:\/\/#.*)?\s*$/, (_, names) => `return{${names.replace(/([\w$]+) as ([\w$]+)/g, "$2:$1")}}`);
    const body = `const served=(async()=>{${text}\n})().then(${serve});
      onmessage=async({data:[id,call,argument]})=>{try{postMessage([id,await (await served)[call](argument)])}catch(error){postMessage([id,null,String(error)])}}`;
    const worker = new Worker(URL.createObjectURL(new Blob([body], { type: "text/javascript" })));
    const waiting = new Map();
    worker.onmessage = ({ data: [id, result, error] }) => {
      const { resolve, reject } = waiting.get(id);
      waiting.delete(id);
      error ? reject(new Error(error)) : resolve(result);
    };
    worker.onerror = (event) => waiting.forEach(({ reject }) => reject(new Error(event.message)));
    let count = 0;
    return (call, argument) => new Promise((resolve, reject) => {
      waiting.set(++count, { resolve, reject });
      worker.postMessage([count, call, argument]);
    });
  }

  let starting = null; // one worker for the page
  const engine = () => (starting ??= (async () => {
    const [module, wasm] = await Promise.all(["ort", "wasm"].map((name) => payload(RUNTIME.folder, name)));
    const call = startWorker(module);
    await call("start", { wasm });
    return call;
  })().catch((error) => { starting = null; throw error; }));

  // The noise of pair 0 of `defectlib sample --seed SEED` ------------------------------------------------------------

  function sha256(text) { // FIPS 180-4; crypto.subtle is missing on plain http
    const primes = [];
    for (let n = 2; primes.length < 64; n++) if (primes.every((prime) => n % prime)) primes.push(n);
    const fraction = (root) => ((root - Math.floor(root)) * 2 ** 32) >>> 0;
    const constants = primes.map((prime) => fraction(Math.cbrt(prime)));
    const hash = primes.slice(0, 8).map((prime) => fraction(Math.sqrt(prime)));
    const bytes = new TextEncoder().encode(text);
    const words = new DataView(new ArrayBuffer(64 * Math.ceil((bytes.length + 9) / 64)));
    bytes.forEach((byte, i) => words.setUint8(i, byte));
    words.setUint8(bytes.length, 0x80);
    words.setUint32(words.byteLength - 4, 8 * bytes.length);
    const turn = (value, by) => (value >>> by) | (value << (32 - by));
    for (let block = 0; block < words.byteLength; block += 64) {
      const w = Array.from({ length: 16 }, (_, i) => words.getUint32(block + 4 * i));
      for (let i = 16; i < 64; i++) {
        const [p, q] = [w[i - 15], w[i - 2]];
        w[i] = (w[i - 16] + (turn(p, 7) ^ turn(p, 18) ^ (p >>> 3)) + w[i - 7] + (turn(q, 17) ^ turn(q, 19) ^ (q >>> 10))) | 0;
      }
      let [a, b, c, d, e, f, g, h] = hash;
      for (let i = 0; i < 64; i++) {
        const first = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + constants[i] + w[i]) | 0;
        const second = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        [a, b, c, d, e, f, g, h] = [(first + second) | 0, a, b, c, (d + first) | 0, e, f, g];
      }
      [a, b, c, d, e, f, g, h].forEach((value, i) => { hash[i] = (hash[i] + value) >>> 0; });
    }
    return hash;
  }

  function randn(seed, count) { // torch.randn on the CPU: mt19937, 24-bit uniforms, Box-Muller in blocks of 16
    const [high, low] = sha256(`[${seed}, "pair", 0]`); // defectlib.runtime.child_seed
    const state = new Uint32Array(624);
    state[0] = ((high << 31) | (low >>> 1)) >>> 0; // torch seeds mt19937 with the lower 32 bits
    for (let i = 1; i < 624; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
    let at = 624;
    const next = () => {
      if (at === 624) {
        for (let i = 0; i < 624; i++) {
          const y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
          state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
        }
        at = 0;
      }
      let y = state[at++];
      y ^= y >>> 11;
      y ^= (y << 7) & 0x9d2c5680;
      y ^= (y << 15) & 0xefc60000;
      return (y ^ (y >>> 18)) >>> 0;
    };
    const x = Float32Array.from({ length: count }, () => (next() & 0xffffff) / 2 ** 24);
    for (let block = 0; block < count; block += 16) {
      for (let i = block; i < block + 8; i++) {
        const [radius, angle] = [Math.sqrt(-2 * Math.log(1 - x[i])), 2 * Math.PI * x[i + 8]];
        [x[i], x[i + 8]] = [radius * Math.cos(angle), radius * Math.sin(angle)];
      }
    }
    return x;
  }

  // The two-stage sampler (paper Fig. 4) ----------------------------------------------------------------------------

  async function sample(model, { u, field, steps, seed }, { onStep, stopped }) {
    const { table } = model;
    const { timesteps, large } = table.steps[steps];
    const path = timesteps[u];
    let x = randn(seed, table.shape.reduce((a, b) => a * b));
    for (let i = 0; i < path.length; i++) {
      const [t, next] = [path[i], path[i + 1]];
      const name = i < large[u] ? "large" : `small${field}`; // t ≥ u: the large net, below it the small one
      const x_0 = await model.call("run", { name: model.key + name, x, t, shape: table.shape });
      if (stopped()) return null;
      // DDIM, η = 0: x_s = √ᾱ_s x̂_0 + √(1 − ᾱ_s) (x_t − √ᾱ_t x̂_0) / √(1 − ᾱ_t), and ᾱ = 1 after the last step
      const [signal, noise] = [table.signal, table.noise];
      const ratio = next === undefined ? 0 : noise[next] / noise[t];
      const weight = (next === undefined ? 1 : signal[next]) - ratio * signal[t];
      const before = x;
      x = x.map((value, k) => ratio * value + weight * x_0[k]);
      onStep({ x_t: before, x_0, t, done: i + 1, of: path.length, net: i < large[u] ? "large" : "small" });
      await new Promise((resolve) => setTimeout(resolve)); // the page is drawn, and Stop is heard
    }
    return x;
  }

  function decode(x, [, channels, height, width]) { // defectlib.data.encode.decode
    const plane = height * width;
    const image = new Uint8ClampedArray(3 * plane); // rounds halves to even, as torch does
    const mask = new Uint8Array(plane);
    for (let p = 0; p < plane; p++) {
      for (let c = 0; c < 3; c++) image[3 * p + c] = (Math.min(1, Math.max(-1, x[c * plane + p])) + 1) * 127.5;
      let best = 3;
      for (let c = 4; c < channels; c++) if (x[c * plane + p] > x[best * plane + p]) best = c;
      mask[p] = best - 3;
    }
    return { image, mask, height, width };
  }

  function nearest(image, training) { // root-mean-square distance in [0, 1]
    let best = { distance: Infinity };
    for (let start = 0; start < training.length; start += image.length) {
      let sum = 0;
      for (let i = 0; i < image.length; i++) sum += (image[i] - training[start + i]) ** 2;
      const distance = Math.sqrt(sum / image.length) / 255;
      if (distance < best.distance) best = { distance, image: training.subarray(start, start + image.length) };
    }
    return best;
  }

  // Pictures --------------------------------------------------------------------------------------------------------

  function draw(canvas, { image, mask, height, width }, colours, scale = 4) {
    Object.assign(canvas, { width: width * scale, height: height * scale });
    const pen = canvas.getContext("2d");
    const pixels = new ImageData(width, height);
    for (let p = 0; p < height * width; p++) {
      for (let c = 0; c < 3; c++) pixels.data[4 * p + c] = image[3 * p + c];
      pixels.data[4 * p + 3] = 255;
    }
    const plain = new OffscreenCanvas(width, height);
    plain.getContext("2d").putImageData(pixels, 0, 0);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(plain, 0, 0, canvas.width, canvas.height);
    if (!mask) return;
    const at = (row, column) => (row < 0 || column < 0 || row >= height || column >= width ? 0 : mask[row * width + column]);
    const thick = scale / 2;
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const id = at(row, column);
        if (!id) continue;
        pen.fillStyle = colours[id];
        const [x, y] = [column * scale, row * scale];
        if (at(row - 1, column) !== id) pen.fillRect(x, y, scale, thick);
        if (at(row + 1, column) !== id) pen.fillRect(x, y + scale - thick, scale, thick);
        if (at(row, column - 1) !== id) pen.fillRect(x, y, thick, scale);
        if (at(row, column + 1) !== id) pen.fillRect(x + scale - thick, y, thick, scale);
      }
    }
  }

  async function png(values, { height, width }, channels) { // 8 bits, gray or RGB: a canvas would write RGBA
    const crc = (bytes) => {
      let value = -1;
      for (const byte of bytes) {
        value ^= byte;
        for (let k = 0; k < 8; k++) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
      }
      return ~value >>> 0;
    };
    const chunk = (kind, content) => {
      const view = new DataView(new ArrayBuffer(12 + content.length));
      const bytes = new Uint8Array(view.buffer);
      view.setUint32(0, content.length);
      bytes.set(new TextEncoder().encode(kind), 4);
      bytes.set(content, 8);
      view.setUint32(8 + content.length, crc(bytes.subarray(4, 8 + content.length)));
      return bytes;
    };
    const header = new DataView(new ArrayBuffer(13));
    header.setUint32(0, width);
    header.setUint32(4, height);
    header.setUint16(8, 0x0800 + (channels === 3 ? 2 : 0));
    const rows = new Uint8Array(height * (1 + channels * width)); // each row begins with filter 0
    for (let row = 0; row < height; row++) {
      rows.set(values.subarray(row * channels * width, (row + 1) * channels * width), row * (1 + channels * width) + 1);
    }
    const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
    const content = new Uint8Array(await new Response(packed).arrayBuffer());
    const signature = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
    const parts = [signature, chunk("IHDR", new Uint8Array(header.buffer)), chunk("IDAT", content), chunk("IEND", new Uint8Array())];
    return new Blob(parts, { type: "image/png" });
  }

  // The page --------------------------------------------------------------------------------------------------------

  function make(tag, properties = {}, children = []) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  function picture(text) {
    const canvas = make("canvas", { width: 256, height: 256 });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", text);
    return { canvas, figure: make("figure", {}, [canvas, make("figcaption", { textContent: text })]) };
  }

  function mount(root) {
    const { products, classes, colours, fields, steps, u } = JSON.parse(root.dataset.settings);
    const able = typeof DecompressionStream !== "undefined" && typeof OffscreenCanvas !== "undefined" && WebAssembly.validate(
      Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11)); // SIMD
    if (!able) {
      root.textContent = "This browser cannot run the nets (it lacks WebAssembly SIMD or DecompressionStream); the stored pictures below show the same.";
      return;
    }
    const options = (values) => values.map((value) => make("option", { value, textContent: `${value}`.replaceAll("_", " ") }));
    const control = {
      product: make("select", {}, options(Object.keys(products))),
      u: make("input", { type: "range", min: 0, max: 1000, step: 1, value: u }),
      field: make("select", {}, options(fields)),
      steps: make("select", {}, options(steps)),
      seed: make("input", { type: "number", min: 0, max: 4294967295, step: 1, value: 7 }),
    };
    control.field.value = fields.at(-1);
    control.steps.value = 25;
    const shownU = make("output", { textContent: u });
    const label = (text, ...elements) => make("label", {}, [`${text} `, ...elements]);
    const button = (text, onclick) => make("button", { type: "button", textContent: text, onclick });
    const start = button("Sample", () => sampleAll([read()]));
    const stop = button("Stop", () => { turn += 1; });
    const another = button("Another seed", () => { control.seed.value = +control.seed.value + 1; sampleAll([read()]); });
    const vary = button("Vary u", () => sampleAll(VARIED.map((value) => ({ ...read(), u: value }))));
    const progress = make("progress", { hidden: true, max: 1, value: 0, ariaLabel: "Loading" });
    const status = make("p", { className: "live-status", textContent: `Nothing is loaded before the first click.` });
    status.setAttribute("role", "status");
    const timeline = make("div", { className: "live-timeline", ariaHidden: "true" });
    const views = { x_t: picture("x_t"), x_0: picture("predicted image and mask"), near: picture("nearest training image") };
    const legend = make("p", { className: "live-legend" });
    const downloads = make("p");
    const strip = make("div", { className: "live-strip" });
    root.replaceChildren(
      make("div", { className: "live-controls" }, [
        label("product", control.product), label("switch step u", control.u, shownU), label("receptive field of the small net (px)", control.field),
        label("sampling steps", control.steps), label("seed", control.seed), start, stop, another, vary]),
      progress, status, timeline, make("div", { className: "live-views" }, Object.values(views).map((view) => view.figure)), legend, downloads, strip);
    control.u.oninput = () => { shownU.textContent = control.u.value; };
    stop.disabled = true;
    if (Object.keys(products).length === 1) control.product.parentElement.hidden = true;

    const read = () => ({
      product: control.product.value, u: +control.u.value, field: +control.field.value, steps: +control.steps.value,
      seed: Math.min(4294967295, Math.max(0, Math.trunc(+control.seed.value) || 0)),
    });
    const write = (settings) => {
      for (const [name, value] of Object.entries(settings)) control[name].value = value;
      shownU.textContent = control.u.value;
    };
    const address = ({ product, u, field, steps, seed }) => `#product=${product}&u=${u}&rf=${field}&steps=${steps}&seed=${seed}`;
    const fromAddress = () => { // what is missing, or not offered, stays as it is
      const asked = new URLSearchParams(location.hash.slice(1));
      const names = { product: "product", u: "u", rf: "field", steps: "steps", seed: "seed" };
      for (const [name, to] of Object.entries(names)) {
        const element = control[to];
        const value = asked.get(name);
        if (value !== null && (element.options ? [...element.options].some((option) => option.value === value) : /^\d+$/.test(value))) element.value = value;
      }
      write(read());
    };
    addEventListener("hashchange", fromAddress);
    fromAddress();

    const models = new Map();
    async function load({ product, u, field }) {
      const folder = new URL(`${products[product]}/`, here);
      if (!models.has(product)) {
        models.set(product, payload(folder, "table").then((bytes) => ({
          key: `${product} `, table: JSON.parse(new TextDecoder().decode(bytes)), nets: new Map(),
        })).catch((error) => { models.delete(product); throw error; }));
      }
      const model = await models.get(product);
      const wanted = [u < 1000 && "large", u > 0 && `small${field}`].filter(Boolean);
      for (const name of wanted) {
        const { bytes, there } = model.table.nets[name];
        if (!there) throw new Error(`the ${name.replace(/\d+/, "")} net takes ${(bytes / 1e6).toFixed(0)} MB, too much for a page; the stored pictures show what it does`);
      }
      const sizes = { ...(model.call ? {} : RUNTIME.sizes) };
      for (const name of [...wanted, "training"]) if (!model.nets.has(name)) sizes[name] = model.table.nets[name].bytes;
      const total = Object.values(sizes).reduce((a, b) => a + b, 0);
      let loaded = 0;
      const tell = (name) => {
        loaded += sizes[name];
        progress.value = loaded / total;
        status.textContent = `Loading: ${(loaded / 1e6).toFixed(1)} of ${(total / 1e6).toFixed(1)} MB`;
      };
      if (total) {
        progress.hidden = false;
        progress.value = 0;
        status.textContent = `Loading: 0 of ${(total / 1e6).toFixed(1)} MB`;
        const files = Object.keys(sizes).map((name) => payload(name in RUNTIME.sizes ? RUNTIME.folder : folder, name).then((bytes) => { tell(name); return [name, bytes]; }));
        const found = new Map(await Promise.all(files));
        model.call = await engine();
        for (const name of wanted) if (found.has(name)) await model.call("load", { name: model.key + name, model: found.get(name) });
        for (const [name, bytes] of found) if (!(name in RUNTIME.sizes)) model.nets.set(name, new Uint8Array(bytes));
        progress.hidden = true;
      }
      return model;
    }

    let turn = 0;
    async function sampleAll(all) {
      const mine = ++turn;
      start.disabled = another.disabled = vary.disabled = true;
      stop.disabled = false;
      try {
        for (const settings of all) {
          write(settings);
          const result = await one(settings, () => mine !== turn);
          if (result === null) {
            status.textContent = "Stopped.";
            return;
          }
        }
      } catch (error) {
        status.textContent = `Not sampled: ${error.message}.`;
        progress.hidden = true;
      } finally {
        start.disabled = another.disabled = vary.disabled = false;
        stop.disabled = true;
      }
    }

    async function one(settings, stopped) {
      history.replaceState(null, "", address(settings));
      const model = await load(settings);
      if (stopped()) return null;
      const { large } = model.table.steps[settings.steps];
      timeline.replaceChildren(...Array.from({ length: settings.steps }, (_, i) => make("span", { className: i < large[settings.u] ? "large" : "small" })));
      views.near.figure.style.visibility = "hidden";
      downloads.replaceChildren();
      const begin = performance.now();
      const x = await sample(model, settings, {
        stopped,
        onStep: ({ x_t, x_0, t, done, of, net }) => {
          const { image, height, width } = decode(x_t, model.table.shape);
          draw(views.x_t.canvas, { image, height, width });
          draw(views.x_0.canvas, decode(x_0, model.table.shape), colours);
          timeline.children[done - 1].classList.add("done");
          views.x_t.figure.lastChild.textContent = `x_t at t = ${t}`;
          views.x_0.figure.lastChild.textContent = "predicted image and mask";
          if (done === 1 || done % 5 === 0) status.textContent = `Step ${done} of ${of}: the ${net} net at t = ${t}`;
        },
      });
      if (x === null) return null;
      const pair = decode(x, model.table.shape);
      const { distance, image } = nearest(pair.image, model.nets.get("training"));
      const found = [...new Set(pair.mask)].filter(Boolean).sort();
      const types = found.map((id) => classes[settings.product][id - 1]);
      const text = types.length ? types.join(", ") : "no defect";
      draw(views.x_0.canvas, pair, colours);
      draw(views.near.canvas, { ...pair, image, mask: null });
      views.x_0.canvas.setAttribute("aria-label", `generated ${settings.product} with its mask: ${text}`);
      views.x_0.figure.lastChild.textContent = "the pair";
      views.near.figure.lastChild.textContent = `nearest training image, distance ${distance.toFixed(3)}`;
      views.near.figure.style.visibility = "";
      legend.replaceChildren(...found.map((id) => make("span", {}, [make("i", { style: `background:${colours[id]}` }), classes[settings.product][id - 1]])), types.length ? "" : text);
      const name = `${settings.product}_u${settings.u}_rf${settings.field}_seed${settings.seed}`;
      for (const [what, values, channels] of [["image", pair.image, 3], ["mask", pair.mask, 1]]) {
        const href = URL.createObjectURL(await png(values, pair, channels));
        downloads.append(make("a", { href, download: `${name}_${what}.png`, textContent: `${what} as PNG` }), " ");
      }
      keep(settings, pair, distance);
      root.dataset.last = JSON.stringify({ ...settings, distance });
      status.textContent = `Done in ${((performance.now() - begin) / 1000).toFixed(1)} s: ${text}; distance to the nearest training image ${distance.toFixed(3)}.`;
      return pair;
    }

    function keep(settings, pair, distance) {
      const canvas = make("canvas");
      draw(canvas, pair, colours, 2);
      const text = `u ${settings.u} · ${settings.field} px · ${settings.steps} steps · seed ${settings.seed} · ${distance.toFixed(3)}`;
      const entry = make("button", { type: "button", onclick: () => { write(settings); history.replaceState(null, "", address(settings)); } }, [canvas, make("span", { textContent: text })]);
      entry.setAttribute("aria-label", `take these settings again: ${text}`);
      strip.prepend(entry);
      while (strip.children.length > KEPT) strip.lastChild.remove();
    }
    root.sampler = { load, sample, decode }; // for tests
  }

  document.querySelectorAll(".live-sampler").forEach(mount);
})();
