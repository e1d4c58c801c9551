(() => {
  const all = JSON.parse(document.getElementById("data").textContent);
  const by = (id) => document.getElementById(id);
  /* Pictures that are excluded, and those that are shown the other way than the rest: numbers. */
  const out = new Set(), turned = new Set();
  let shown = [];

  function element(name, className, ...children) {
    const made = document.createElement(name);
    made.className = className;
    // Names are texts, whatever they hold.
    made.append(...children);
    return made;
  }

  function change(box, index) {
    const card = all[index], excluded = out.has(index), plain = by("plain").checked !== turned.has(index);
    box.className = "card" + (card.suspect ? " suspect" : "") + (excluded ? " out" : "");
    const keep = box.querySelector(".keep"), image = box.querySelector("img");
    keep.textContent = excluded ? "Excluded" : "Kept";
    keep.setAttribute("aria-pressed", excluded);
    if (image.dataset.plain !== String(plain)) {
      image.dataset.plain = plain;
      image.src = "data:image/jpeg;base64," + (plain ? card.picture : card.overlay);
    }
  }

  function draw(index) {
    const card = all[index], image = element("img", "");
    Object.assign(image, { width: card.width, height: card.height, alt: card.name, decoding: "sync" });
    const turn = element("button", "picture", image), keep = element("button", "keep");
    turn.type = keep.type = "button";
    turn.title = "with and without outlines";
    const cut = card.name.lastIndexOf("/") + 1;
    const name = element("p", "name", element("span", "where", card.name.slice(0, cut)), element("span", "", card.name.slice(cut)));
    name.title = card.name;
    const values = `${index + 1}. suspicion ${card.suspicion.toFixed(3)}, ${Math.round(100 * card.dropped)} % noisy`;
    const box = element("div", "card", turn, name, element("p", "values", values), keep);
    turn.addEventListener("click", () => {
      if (!turned.delete(index)) turned.add(index);
      change(box, index);
    });
    keep.addEventListener("click", () => {
      if (!out.delete(index)) out.add(index);
      change(box, index);
      count();
    });
    change(box, index);
    return box;
  }

  const shape = Math.min(1, Math.max(0.25, ...all.map((card) => card.height / card.width)));
  const BESIDE = 20, CAPTION = 116;
  const list = lazyList(by("cards"), {
    least: () => 234,
    height: (width) => Math.round((width - BESIDE) * shape) + CAPTION,
    draw,
    change,
    gap: 14,
  });

  function count() {
    by("count").textContent = `${out.size} of ${all.length} excluded, ${shown.length} shown`;
    by("save").disabled = out.size === 0;
  }

  const passes = {
    all: () => true,
    suspect: (index) => all[index].suspect,
    out: (index) => out.has(index),
    in: (index) => !out.has(index),
  };

  function refresh() {
    const part = by("filter").value.toLowerCase(), least = Number(by("least").value), fits = passes[by("which").value];
    shown = [...all.keys()].filter((index) =>
      all[index].name.toLowerCase().includes(part) && !(all[index].suspicion < least && least > 0) && fits(index));
    by("nothing").hidden = shown.length > 0;
    list.show(shown);
    count();
  }

  function text() {
    const lines = ["# left out of the training images, for softpatch fit --exclude"];
    [...out].sort((a, b) => a - b).forEach((index) => {
      const name = all[index].name;
      lines.push(/[\r\n]/.test(name) ? "# cannot be listed: " + JSON.stringify(name) : name);
    });
    return lines.join("\n") + "\n";
  }

  for (const id of ["filter", "least", "which"]) by(id).addEventListener("input", refresh);
  by("plain").addEventListener("input", () => {
    turned.clear();
    list.relayout();
  });
  by("suspects").addEventListener("click", () => {
    all.forEach((card, index) => card.suspect && out.add(index));
    refresh();
  });
  by("none").addEventListener("click", () => {
    out.clear();
    refresh();
  });
  by("save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text()], { type: "text/plain" }));
    link.download = "exclude.txt";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });

  const PAPER = 300;
  window.addEventListener("beforeprint", () => {
    const printed = list.still(PAPER);
    by("on-paper").textContent = printed < shown.length ? `The first ${printed} of ${shown.length} pictures; filters choose others.` : "";
  });
  window.addEventListener("afterprint", () => list.lively());

  refresh();
  document.documentElement.dataset.ready = Math.round(performance.now());
})();
