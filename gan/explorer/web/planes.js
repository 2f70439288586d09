// Shows planes of images that were generated beforehand, one for each seed, and one of their images large.
const data = JSON.parse(document.getElementById("data").textContent);
const {cells} = data, [, size] = data.image, MIDDLE = (cells - 1) / 2;
const find = id => document.getElementById(id);
const seed = find("seed"), plane = find("plane"), mark = plane.querySelector("i"), sheet = plane.querySelector("img");
const image = find("image"), label = find("label");
let column = MIDDLE, row = MIDDLE;

function draw() {
  const at = cell => 1 + cell * (size + 1); // a line of one pixel is between the images, and around them
  image.width = image.height = size;
  image.getContext("2d").drawImage(sheet, at(column), at(row), size, size, 0, 0, size, size);
  mark.style.left = `${(at(column) + size / 2) / (at(cells)) * 100}%`;
  mark.style.top = `${(at(row) + size / 2) / (at(cells)) * 100}%`;
}

async function choose(value) {
  plane.ariaBusy = "true";
  seed.value = value;
  seed.nextElementSibling.value = seed.value;
  const number = seed.value - data.seed;
  if (label) label.textContent = data.names[data.labels[number]] ?? data.labels[number];
  image.setAttribute("aria-label", `Generated image of seed ${seed.value}`);
  sheet.src = `data:image/png;base64,${data.planes[number]}`;
  try {
    await sheet.decode();
  } catch {
    return; // another seed was chosen in the meantime
  }
  plane.ariaBusy = "false";
  draw();
}

function moveTo(x, y) {
  [column, row] = [x, y].map(cell => Math.max(0, Math.min(cells - 1, cell)));
  draw();
}

function follow(event) {
  const box = plane.getBoundingClientRect();
  moveTo(Math.floor((event.clientX - box.left) / box.width * cells), Math.floor((event.clientY - box.top) / box.height * cells));
}

plane.addEventListener("pointerdown", event => {
  plane.setPointerCapture(event.pointerId);
  follow(event);
});
plane.addEventListener("pointermove", event => event.buttons && follow(event));
plane.addEventListener("keydown", event => {
  const target = {ArrowLeft: [column - 1, row], ArrowRight: [column + 1, row], ArrowUp: [column, row - 1], ArrowDown: [column, row + 1], Home: [MIDDLE, MIDDLE]}[event.key];
  if (target) {
    event.preventDefault();
    moveTo(...target);
  }
});
seed.addEventListener("input", () => choose(seed.value));
find("random").addEventListener("click", () => choose(data.seed + Math.floor(Math.random() * data.planes.length)));
find("reset").addEventListener("click", () => moveTo(MIDDLE, MIDDLE));
find("save").addEventListener("click", () => image.toBlob(blob => {
  const link = Object.assign(document.createElement("a"), {href: URL.createObjectURL(blob), download: `seed${seed.value}.png`});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}));

document.querySelector("main").hidden = false;
find("status").textContent = "";
choose(data.seed);
