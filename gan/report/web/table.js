"use strict";
// The table of runs: sorting, filter, choice of columns, rows of single seeds.

function setUpTable() {
  const table = document.getElementById("runs"), body = table.tBodies[0];
  // A group and the rows of its seeds move together
  const blocks = [];
  for (const row of body.rows) row.classList.contains("seed") ? blocks.at(-1).push(row) : blocks.push([row]);

  function cellValue(row, column) {
    const cell = row.cells[column];
    if (cell.classList.contains("number")) {
      return "value" in cell.dataset ? Number(cell.dataset.value) : /^\d+$/.test(cell.textContent) ? Number(cell.textContent) : null;
    }
    const text = cell.textContent.trim();
    return text === "" || text === "-" ? null : isFinite(text) ? Number(text) : text;
  }

  function compare(x, y) { // what is missing comes last, numbers come before words
    if (x === null || y === null) return (x === null) - (y === null);
    if (typeof x === typeof y) return typeof x === "number" ? x - y : x.localeCompare(y, "en", {numeric: true});
    return typeof x === "number" ? -1 : 1;
  }

  function sortBy(heading) {
    const column = heading.cellIndex, down = heading.ariaSort === "ascending";
    for (const other of heading.parentElement.cells) other.ariaSort = "none";
    heading.ariaSort = down ? "descending" : "ascending";
    const keys = new Map(blocks.map(block => [block, cellValue(block[0], column)]));
    const sorted = [...blocks].sort((a, b) => {
      const x = keys.get(a), y = keys.get(b);
      return down && x !== null && y !== null ? compare(y, x) : compare(x, y);
    });
    body.append(...sorted.flat());
  }

  for (const heading of table.tHead.rows[0].cells) heading.querySelector("button").addEventListener("click", () => sortBy(heading));

  function unfold(block, isOpen) {
    const button = block[0].querySelector("button[aria-expanded]");
    if (!button) return;
    button.ariaExpanded = isOpen;
    for (const row of block.slice(1)) row.hidden = !isOpen || block[0].hidden;
  }

  for (const block of blocks) {
    const button = block[0].querySelector("button[aria-expanded]");
    button?.addEventListener("click", () => unfold(block, button.ariaExpanded !== "true"));
  }
  const all = document.getElementById("unfold");
  all?.addEventListener("click", () => {
    const isOpen = all.textContent.startsWith("Show");
    for (const block of blocks) unfold(block, isOpen);
    all.textContent = isOpen ? "Hide all seeds" : "Show all seeds";
  });

  const filter = document.getElementById("filter"), count = document.getElementById("count");
  function applyFilter() {
    const words = (filter?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const block of blocks) {
      const text = block.map(row => row.textContent + (row.querySelector("a")?.title ?? "")).join(" ").toLowerCase();
      block[0].hidden = !words.every(word => text.includes(word));
      shown += !block[0].hidden;
      unfold(block, block[0].querySelector("button[aria-expanded]")?.ariaExpanded === "true");
    }
    if (blocks.length > 1) count.textContent = shown === blocks.length ? `${shown} rows.` : `${shown} of ${blocks.length} rows.`;
  }
  filter?.addEventListener("input", applyFilter);
  applyFilter();

  for (const box of document.querySelectorAll("#columns input")) {
    const show = () => {
      for (const row of table.rows) row.cells[box.value].hidden = !box.checked;
    };
    box.addEventListener("change", show);
    if (box.dataset.setting && innerWidth < 600) { // a phone has no room for what the name says as well
      box.checked = false;
      show();
    }
  }
}
