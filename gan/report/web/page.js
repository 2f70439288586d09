"use strict";
// Starts the parts of the page, links rows, images and curves of a group, and keeps what the reader chose.

const data = JSON.parse(document.getElementById("data").textContent);
const COLORS = ["#3b7dd8", "#d9730d", "#2e9e5b", "#d0406f", "#8a63c9", "#9a7440", "#1f9e9e", "#a89410", "#6b7785", "#d05fc0"];
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]];
const styleOf = number => ({color: COLORS[number % COLORS.length], dash: DASHES[Math.floor(number / COLORS.length) % DASHES.length]});

for (const swatch of document.querySelectorAll("[data-swatch]")) {
  const {color, dash} = styleOf(data.groups.length === 1 ? Number(swatch.dataset.swatch) : data.groups[swatch.dataset.swatch].rank);
  swatch.style.borderColor = color;
  swatch.style.borderTopStyle = dash.length === 0 ? "solid" : dash[0] > 2 ? "dashed" : "dotted";
}

let highlighted = null;
function highlight(group) {
  if (group === highlighted) return;
  highlighted = group;
  for (const element of document.querySelectorAll(".highlight")) element.classList.remove("highlight");
  if (group !== null) for (const element of document.querySelectorAll(`[data-group="${group}"]`)) element.classList.add("highlight");
  highlightCurves(group);
}

if (data.groups.length > 1) {
  document.addEventListener("pointerover", event => highlight(event.target.closest?.("[data-group]")?.dataset.group ?? null));
  document.addEventListener("focusin", event => highlight(event.target.closest("[data-group]")?.dataset.group ?? null));
}

for (const code of document.querySelectorAll("code.command")) {
  const text = code.textContent, button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.ariaLabel = `Copy: ${text}`;
  button.addEventListener("click", () => {
    getSelection().selectAllChildren(code.firstChild.parentElement);
    navigator.clipboard?.writeText(text).then(() => button.textContent = "Copied", () => {});
  });
  code.prepend(button);
}

document.getElementById("all-trials")?.addEventListener("click", event => {
  for (const item of document.querySelectorAll(".trials [hidden]")) item.hidden = false;
  event.target.remove();
});

function openTarget() { // a link to the details of a run opens them
  const target = document.getElementById(location.hash.slice(1));
  if (target?.matches("details")) target.open = true;
}
addEventListener("hashchange", openTarget);

setUpTable();
setUpImages(data);
if (data.panels.length) setUpCurves(data);
if (data.trials.length) setUpScatter(data);
openTarget();

// A page that is rewritten reads itself again, with the same choices
const KEY = `report ${location.pathname}`;
const controls = [...document.querySelectorAll("main select, main input, main details")].map((element, number) => [`${element.id || number}`, element]);
if (data.everySeconds) {
  const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "{}");
  for (const [name, element] of controls) {
    if (!(name in kept) || (element.id === "step" && kept.atEnd)) continue;
    if (element.matches("details")) element.open = kept[name];
    else if (element.type === "checkbox") element.checked = kept[name];
    else element.value = kept[name];
    element.dispatchEvent(new Event("input", {bubbles: true}));
    element.dispatchEvent(new Event("change", {bubbles: true}));
  }
  setTimeout(() => {
    const values = controls.map(([name, element]) => [name, element.matches("details") ? element.open : element.type === "checkbox" ? element.checked : element.value]);
    const step = document.getElementById("step");
    sessionStorage.setItem(KEY, JSON.stringify({...Object.fromEntries(values), atEnd: step.value === step.max}));
    location.reload();
  }, 1000 * data.everySeconds);
}
