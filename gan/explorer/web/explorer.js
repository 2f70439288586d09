// Runs the generator, and moves in its noise: a seed's vector, times the truncation, plus some of each direction.
const data = JSON.parse(document.getElementById("data").textContent);
const {dim, count} = data, [channels, size] = data.image;
const LIMIT = 3, CELLS = 9; // of the plane: its edges, and images across
const find = id => document.getElementById(id);
const [seed, label, truncation, across, down] = ["seed", "class", "truncation", "across", "down"].map(find);
const sliders = [...document.querySelectorAll("#directions input")];
const plane = find("plane"), mark = plane.querySelector("i"), map = plane.querySelector("canvas");

function bytes(text) {
  return Uint8Array.from(atob(text), character => character.charCodeAt(0));
}

function floats(text) {
  return new Float32Array(bytes(text).buffer);
}

const seedNoise = floats(data.noise), directions = floats(data.directions);

async function unpack(id) {
  const packed = new Blob([bytes(find(id).textContent)]).stream();
  find(id).remove(); // its memory is needed no more
  return new Uint8Array(await new Response(packed.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
}

// As Noise.nearest in gan/noise.py
function nearest(noise) {
  if (data.kind === "uniform") {
    return noise.map(value => Math.max(-Math.sqrt(3), Math.min(value, Math.sqrt(3))));
  }
  const norm = Math.max(Math.hypot(...noise), 1e-12);
  const factor = data.kind === "sphere" ? Math.sqrt(dim) / norm : Math.min(1, (Math.sqrt(dim) + 2) / norm);
  return noise.map(value => value * factor);
}

// The noise of the sliders, where `moved` has other values for some of them
function noiseOf(moved = {}) {
  const start = (seed.value - data.seed) * dim, factor = truncation ? Number(truncation.value) : 1;
  const noise = seedNoise.slice(start, start + dim).map(value => value * factor);
  sliders.forEach((slider, number) => {
    const amount = moved[number] ?? Number(slider.value);
    for (let index = 0; index < dim; index++) noise[index] += amount * directions[number * dim + index];
  });
  return nearest(noise);
}

let ort, session;

async function start() {
  const [model, runtime, wasm] = await Promise.all(["model", "runtime", "wasm"].map(unpack));
  const address = URL.createObjectURL(new Blob([runtime], {type: "text/javascript"}));
  ort = await import(address);
  ort.env.wasm.numThreads = 1; // several need a server that sends headers
  ort.env.wasm.wasmBinary = wasm;
  session = await ort.InferenceSession.create(model, {executionProviders: ["wasm"]});
}

// Images of several vectors of noise, one after the other, in the generator's own range
async function generate(vectors, labels) {
  const noise = new Float32Array(vectors.length * dim);
  vectors.forEach((vector, number) => noise.set(vector, number * dim));
  const inputs = {noise: new ort.Tensor("float32", noise, [vectors.length, dim])};
  if (data.classes) {
    inputs.labels = new ort.Tensor("int64", BigInt64Array.from(labels, BigInt), [vectors.length]);
  }
  return (await session.run(inputs)).images.data;
}

function draw(context, pixels, number, left, top) {
  const drawn = context.createImageData(size, size), [low, high] = data.range, area = size * size;
  for (let index = 0; index < area; index++) {
    for (let channel = 0; channel < 3; channel++) {
      const value = pixels[(number * channels + Math.min(channel, channels - 1)) * area + index];
      drawn.data[4 * index + channel] = Math.round((value - low) * 255 / (high - low)); // what is outside is clipped
    }
    drawn.data[4 * index + 3] = 255;
  }
  context.putImageData(drawn, left, top);
}

const image = find("image");
image.width = image.height = size;
map.width = map.height = CELLS * (size + 1) - 1;
let changes = 0, isDrawing = false, mapped = "";

// Draws the image, and then the plane row by row; what changes in the meantime comes first
async function show() {
  changes++;
  if (isDrawing) return;
  isDrawing = true;
  plane.ariaBusy = "true";
  try {
    for (let drawn = 0; drawn !== changes;) {
      drawn = changes;
      const labels = new Array(CELLS).fill(label ? Number(label.value) : 0);
      draw(image.getContext("2d"), await generate([noiseOf()], labels.slice(0, 1)), 0, 0, 0);
      const key = mapKey();
      for (let row = 0; row < CELLS && mapped !== key; row++) {
        const vectors = Array.from({length: CELLS}, (_, column) => noiseOf({[across.value]: at(column), [down.value]: at(row)}));
        const pixels = await generate(vectors, labels);
        vectors.forEach((_, column) => draw(map.getContext("2d"), pixels, column, column * (size + 1), row * (size + 1)));
        await new Promise(resolve => setTimeout(resolve)); // events first
        if (drawn !== changes && key !== mapKey()) break;
        if (row === CELLS - 1) mapped = key;
      }
    }
  } finally {
    isDrawing = false;
    plane.ariaBusy = "false";
  }
}

// All that the images of the plane depend on: not its own two directions
function mapKey() {
  const others = sliders.map((slider, number) => [across.value, down.value].includes(String(number)) ? "" : slider.value);
  return JSON.stringify([seed.value, label?.value, truncation?.value, across.value, down.value, others]);
}

function at(cell) {
  return (2 * cell / (CELLS - 1) - 1) * LIMIT;
}

function place(value) {
  return `${((Number(value) / LIMIT + 1) / 2 * (CELLS - 1) + 0.5) / CELLS * 100}%`;
}

function update() {
  for (const input of document.querySelectorAll("input")) {
    input.nextElementSibling.value = input.value.replace("-", "−");
  }
  mark.style.left = place(sliders[across.value].value);
  mark.style.top = place(sliders[down.value].value);
  image.setAttribute("aria-label", `Generated image of seed ${seed.value}` + (label ? `, ${label.previousSibling.textContent.trim().toLowerCase()} ${label.selectedOptions?.[0].text ?? label.value}` : ""));
  show();
}

function moveTo(x, y) {
  sliders[down.value].value = y;
  sliders[across.value].value = x; // the last, which counts where both axes are the same
  update();
}

function follow(event) {
  const box = plane.getBoundingClientRect();
  const value = share => ((share * CELLS - 0.5) / (CELLS - 1) * 2 - 1) * LIMIT;
  moveTo(value((event.clientX - box.left) / box.width), value((event.clientY - box.top) / box.height));
}

function chooseSeed(value) {
  seed.value = value;
  if (label && data.clusters) label.value = data.labels[seed.value - data.seed];
  update();
}

plane.addEventListener("pointerdown", event => {
  plane.setPointerCapture(event.pointerId);
  follow(event);
});
plane.addEventListener("pointermove", event => event.buttons && follow(event));
plane.addEventListener("keydown", event => {
  const [x, y] = [across, down].map(axis => Number(sliders[axis.value].value)), step = event.shiftKey ? 1 : 0.25;
  const target = {ArrowLeft: [x - step, y], ArrowRight: [x + step, y], ArrowUp: [x, y - step], ArrowDown: [x, y + step], Home: [0, 0]}[event.key];
  if (target) {
    event.preventDefault();
    moveTo(...target);
  }
});
seed.addEventListener("input", () => chooseSeed(seed.value));
find("random").addEventListener("click", () => chooseSeed(data.seed + Math.floor(Math.random() * count)));
find("reset").addEventListener("click", () => {
  for (const slider of sliders) slider.value = 0;
  update();
});
find("save").addEventListener("click", () => image.toBlob(blob => {
  const link = Object.assign(document.createElement("a"), {href: URL.createObjectURL(blob), download: `seed${seed.value}.png`});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}));
for (const input of [label, truncation, across, down, ...sliders]) input?.addEventListener("input", update);

start().then(() => {
  document.querySelector("main").hidden = false;
  find("status").textContent = "";
  if (label) label.value = data.labels[0];
  update();
}, error => {
  find("status").className = "error";
  find("status").textContent = `The generator cannot run in this browser, which needs WebAssembly with SIMD: ${error.message}`;
});
