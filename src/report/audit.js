"use strict";
const all = JSON.parse(document.getElementById("data").textContent);
const by = (id) => document.getElementById(id);
const out = new Set();
const STEP = 60;
let shown = [], drawn = 0;

function source(card, plain) {
  return "data:image/jpeg;base64," + (plain ? card.picture : card.overlay);
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  // Names are texts, whatever they hold.
  if (text !== undefined) made.textContent = text;
  return made;
}

function mark(index, box, button) {
  const excluded = out.has(index);
  box.classList.toggle("out", excluded);
  button.textContent = excluded ? "Excluded" : "Kept";
  button.setAttribute("aria-pressed", excluded);
}

function draw(index) {
  const card = all[index];
  const box = element("article", "card" + (card.suspect ? " suspect" : ""));
  const image = element("img");
  image.width = card.width;
  image.height = card.height;
  image.alt = card.name;
  image.title = "with and without outlines";
  let plain = by("plain").checked;
  image.src = source(card, plain);
  image.onclick = () => { plain = !plain; image.src = source(card, plain); };
  const percent = Math.round(100 * card.dropped);
  const values = `${index + 1}. suspicion ${card.suspicion.toFixed(3)}, ${percent} % noisy`;
  const button = element("button");
  button.type = "button";
  button.onclick = () => {
    if (!out.delete(index)) out.add(index);
    mark(index, box, button);
    count();
  };
  mark(index, box, button);
  box.append(image, element("p", "name", card.name), element("p", "values", values), button);
  return box;
}

function count() {
  const text = `${out.size} of ${all.length} excluded, ${shown.length} shown`;
  by("count").textContent = text;
  by("save").disabled = out.size === 0;
}

// Pictures are made as they come into view.
function more() {
  const next = shown.slice(drawn, drawn + STEP);
  by("cards").append(...next.map(draw));
  drawn += next.length;
}

function refresh() {
  const part = by("filter").value.toLowerCase(), least = Number(by("least").value), which = by("which").value;
  const fits = {
    all: () => true,
    suspect: (index) => all[index].suspect,
    out: (index) => out.has(index),
    in: (index) => !out.has(index),
  }[which];
  shown = [...all.keys()].filter((index) =>
    all[index].name.toLowerCase().includes(part) && !(all[index].suspicion < least && least > 0) && fits(index));
  by("cards").replaceChildren();
  drawn = 0;
  more();
  count();
}

function list() {
  const lines = ["# left out of the training images, for softpatch fit --exclude"];
  [...out].sort((a, b) => a - b).forEach((index) => {
    const name = all[index].name;
    lines.push(/[\r\n]/.test(name) ? "# cannot be listed: " + JSON.stringify(name) : name);
  });
  return lines.join("\n") + "\n";
}

for (const id of ["filter", "least", "which", "plain"]) by(id).addEventListener("input", refresh);
by("suspects").onclick = () => { all.forEach((card, index) => card.suspect && out.add(index)); refresh(); };
by("none").onclick = () => { out.clear(); refresh(); };
by("save").onclick = () => {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([list()], { type: "text/plain" }));
  link.download = "exclude.txt";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
new IntersectionObserver((seen) => { if (seen.some((s) => s.isIntersecting)) more(); }, { rootMargin: "800px" })
  .observe(by("more"));
refresh();
