(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const by = (id) => document.getElementById(id);
  const NS = "http://www.w3.org/2000/svg";

  function make(tag, attributes, ...children) {
    const svg = ["svg", "g", "rect", "line", "path", "circle", "text"].includes(tag);
    const node = svg ? document.createElementNS(NS, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }

  /* Four significant digits. */
  function number(value) {
    if (value === null) return "none";
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size < 1e-3 || size >= 1e5) return value.toExponential(2);
    return value.toFixed(Math.min(6, Math.max(0, 3 - Math.floor(Math.log10(size)))));
  }

  /* Images, the highest score first, as the file has them. */
  let start = 0;
  const images = data.images.map(([name, folder, score, defect, width, height, ...lengths], index) => {
    if (index % data.block === 0) start = 0;
    const image = { name, folder, score, defect, width, height, lengths, start, index };
    image.path = data.folders[folder] ? `${data.folders[folder]}/${name}` : name;
    image.lower = image.path.toLowerCase();
    start += lengths[0] + lengths[1];
    return image;
  });
  const labelled = images.filter((i) => i.defect !== null);
  const defects = labelled.filter((i) => i.defect).length, goods = labelled.length - defects;

  /* The text of a block of pictures is put together when the first of them is looked at. */
  const blocks = document.querySelectorAll("script.thumbs"), texts = [];
  function source(image, overlay) {
    const block = Math.floor(image.index / data.block);
    texts[block] ??= blocks[block].textContent;
    const from = image.start + (overlay ? image.lengths[0] : 0);
    return "data:image/jpeg;base64," + texts[block].slice(from, from + image.lengths[overlay ? 1 : 0]);
  }

  // ---------------------------------------------------------------- state

  const state = { threshold: data.threshold, verdict: "all", folder: "", search: "", sort: "high", view: "overlay" };

  function fromAddress() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const threshold = parseFloat(asked.get("threshold"));
    state.threshold = Number.isFinite(threshold) ? threshold : data.threshold;
    for (const [key, usual] of [["verdict", "all"], ["sort", "high"], ["view", "overlay"]]) {
      const value = asked.get(key), field = by(key);
      const known = [...field.options].some((option) => option.value === value);
      state[key] = field.value = known ? value : usual;
    }
    const folder = data.folders.indexOf(asked.get("folder"));
    state.folder = asked.has("folder") && folder >= 0 ? String(folder) : "";
    by("folder").value = state.folder;
    by("search").value = state.search = asked.get("search") ?? "";
  }

  function toAddress() {
    const said = new URLSearchParams();
    if (state.threshold !== data.threshold) said.set("threshold", state.threshold);
    for (const [key, usual] of [["verdict", "all"], ["sort", "high"], ["view", "overlay"], ["search", ""]]) {
      if (state[key] !== usual) said.set(key, state[key]);
    }
    if (state.folder !== "") said.set("folder", data.folders[state.folder]);
    try {
      history.replaceState(null, "", "#" + said);
    } catch {
      // Some programs that show files have no addresses to change.
    }
  }

  /* true, false, or null without a threshold or a score. */
  function anomalous(image) {
    return state.threshold === null || image.score === null ? null : image.score > state.threshold;
  }

  function wrong(image) {
    const found = anomalous(image);
    return found === null || image.defect === null || found === image.defect ? "" : found ? "alarm" : "missed";
  }

  // ---------------------------------------------------------------- cards

  const words = { alarm: "false alarm", missed: "missed" };
  const verdict = (image) => ({ true: "anomalous", false: "normal", null: "no verdict" })[anomalous(image)];

  function picture(image, overlay) {
    const what = overlay ? "Anomaly map over " : "Picture ";
    return make("img", { src: source(image, overlay), alt: what + image.path, decoding: "sync", width: image.width, height: image.height });
  }

  function marks(image) {
    const found = anomalous(image), all = [make("span", { class: "score" }, number(image.score))];
    const kind = { true: "bad", false: "good", null: "none" }[found];
    // A false alarm is a good image, a missed one a defect: no need to say both, and small cards lack the room.
    if (wrong(image)) return [...all, make("span", { class: "pill wrong" }, words[wrong(image)])];
    all.push(make("span", { class: "pill " + kind }, verdict(image)));
    if (image.defect !== null) all.push(make("span", { class: "label" }, image.defect ? "defect" : "good"));
    return all;
  }

  function change(card, image) {
    const found = anomalous(image);
    card.className = "card" + (found === null ? "" : found ? " bad" : " good");
    card.querySelector(".marks").replaceChildren(...marks(image));
    const open = card.querySelector("button");
    if (open.dataset.view !== state.view) {
      open.dataset.view = state.view;
      const views = { overlay: [true], picture: [false], both: [false, true] }[state.view];
      open.replaceChildren(...views.map((overlay) => picture(image, overlay)));
    }
  }

  function draw(image) {
    const open = make("button", { type: "button", class: "pictures", "aria-label": "Enlarge " + image.path });
    open.addEventListener("click", () => enlarge(image));
    const name = make("div", { class: "name", title: image.path });
    const cut = image.path.lastIndexOf("/") + 1;
    // The end of a long path says most: the folder is cut, not the name.
    name.append(make("span", { class: "where" }, image.path.slice(0, cut)), make("span", {}, image.path.slice(cut)));
    const card = make("div", { class: "card" }, open, name, make("div", { class: "marks" }));
    change(card, image);
    return card;
  }

  const side = Math.max(96, ...images.map((i) => Math.max(i.width, i.height)));
  const shape = Math.min(1, Math.max(0.25, ...images.map((i) => i.height / i.width)));
  const least = () => (window.innerWidth < 640 ? 130 : Math.min(220, Math.max(190, side))) * (state.view === "both" ? 1.9 : 1) + 16;
  const CAPTION = 62;
  const list = lazyList(by("list"), {
    least,
    height: (width) => Math.round(((width - 16) / (state.view === "both" ? 2 : 1)) * shape) + 16 + CAPTION,
    draw,
    change,
  });

  // ---------------------------------------------------------------- one image, large

  const dialog = by("large");
  let shown = [], current = 0;

  function enlarge(image) {
    current = shown.indexOf(image);
    if (current < 0) return;
    by("large-name").textContent = image.path;
    by("large-marks").replaceChildren(...marks(image), make("span", { class: "label" }, `${current + 1} of ${shown.length}`));
    const figure = (overlay) => make("figure", {}, picture(image, overlay), make("figcaption", {}, overlay ? "anomaly map over it" : "picture"));
    by("large-pictures").replaceChildren(figure(false), figure(true));
    by("previous").disabled = current === 0;
    by("next").disabled = current + 1 === shown.length;
    if (!dialog.open) dialog.showModal();
  }

  const step = (by) => shown[current + by] && enlarge(shown[current + by]);
  by("previous").addEventListener("click", () => step(-1));
  by("next").addEventListener("click", () => step(1));
  by("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  window.addEventListener("keydown", (event) => {
    if (!dialog.open) return;
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });

  // ---------------------------------------------------------------- charts

  const scores = images.map((i) => i.score).filter((s) => s !== null);
  const known = data.threshold === null ? scores : [...scores, data.threshold];
  let [low, high] = [Math.min(...known), Math.max(...known)];
  if (!known.length) [low, high] = [0, 1];
  const middle = scores[Math.floor(scores.length / 2)] ?? 1;
  // One image that is far out must not press all others into one bar.
  const logarithmic = low > 0 && high > 12 * middle;
  const bend = logarithmic ? Math.log : (v) => v, unbend = logarithmic ? Math.exp : (v) => v;
  const margin = Math.max((bend(high) - bend(low)) * 0.04, Math.abs(bend(high)) * 1e-3, 1e-9);
  const ends = [bend(low) - margin, bend(high) + margin];
  const place = (value) => Math.min(1, Math.max(0, (bend(Math.max(value, logarithmic ? 1e-30 : -Infinity)) - ends[0]) / (ends[1] - ends[0])));
  const value = (place) => unbend(ends[0] + Math.min(1, Math.max(0, place)) * (ends[1] - ends[0]));

  /* Round values within the axis. */
  function ticks(most) {
    const from = unbend(ends[0]), to = unbend(ends[1]), all = [];
    if (logarithmic) {
      for (let power = Math.floor(Math.log10(from)); power <= Math.log10(to); power++) {
        for (const digit of [1, 2, 5]) all.push(digit * 10 ** power);
      }
      const inside = all.filter((v) => v >= from && v <= to);
      return inside.filter((_, i) => i % Math.ceil(inside.length / most) === 0);
    }
    const rough = (to - from) / most, power = 10 ** Math.floor(Math.log10(rough));
    const width = [1, 2, 5, 10].find((n) => n * power >= rough) * power;
    for (let v = Math.ceil(from / width); v * width <= to; v++) all.push(v * width);
    return all;
  }
  const short = (v) => String(parseFloat(v.toPrecision(6)));

  const plot = { left: 44, right: 14, top: 22, bottom: 40, height: 216, width: 600 };

  function histogram() {
    const chart = by("histogram"), { left, right, top, bottom, height } = plot;
    const width = (plot.width = Math.max(260, chart.clientWidth)), wide = width - left - right, tall = height - top - bottom;
    const bins = Math.min(80, Math.max(16, Math.floor(wide / 9)));
    const of = labelled.length ? (i) => (i.defect === null ? 0 : i.defect ? 2 : 1) : (i) => ({ true: 2, false: 1, null: 0 })[anomalous(i)];
    const counts = Array.from({ length: bins }, () => [0, 0, 0]);
    for (const image of images) {
      if (image.score !== null) counts[Math.min(bins - 1, Math.floor(place(image.score) * bins))][of(image)]++;
    }
    const most = Math.max(1, ...counts.map(([a, b, c]) => a + b + c));
    const parts = [];
    const stepY = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 1e4, 1e5].find((n) => most / n <= 4.5) ?? most;
    for (let n = 0; n <= most; n += stepY) {
      const y = top + tall - (n / most) * tall;
      parts.push(make("line", { class: "grid", x1: left, x2: width - right, y1: y, y2: y }));
      parts.push(make("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, String(n)));
    }
    const names = ["plain", "normal", "odd"];
    counts.forEach((bin, index) => {
      let y = top + tall;
      bin.forEach((count, kind) => {
        if (!count) return;
        // A single image must be seen beside thousands.
        const size = Math.max(2, (count / most) * tall);
        y -= size;
        parts.push(make("rect", { class: names[kind], x: left + (index / bins) * wide + 0.5, y, width: Math.max(1, wide / bins - 1), height: size }));
      });
    });
    for (const tick of ticks(Math.max(3, Math.floor(wide / 60)))) {
      parts.push(make("text", { x: left + place(tick) * wide, y: top + tall + 16, "text-anchor": "middle" }, short(tick)));
    }
    parts.push(make("text", { x: left + wide / 2, y: height - 6, "text-anchor": "middle", class: "axis" }, "score" + (logarithmic ? ", logarithmic" : "")));
    if (data.threshold !== null && state.threshold !== data.threshold) {
      const x = left + place(data.threshold) * wide;
      parts.push(make("line", { class: "model", x1: x, x2: x, y1: top, y2: top + tall }));
    }
    chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    chart.setAttribute("height", height);
    by("bars").replaceChildren(...parts);
    const x = left + place(state.threshold ?? unbend(ends[1])) * wide;
    by("handle").setAttribute("transform", `translate(${x} 0)`);
    by("handle-line").setAttribute("y1", top);
    by("handle-line").setAttribute("y2", top + tall);
    by("handle-text").textContent = state.threshold === null ? "no threshold" : number(state.threshold);
    by("handle-text").setAttribute("text-anchor", x > width - 60 ? "end" : x < 60 ? "start" : "middle");
  }

  /* Shares of good images above, and of defects above, as the threshold falls. */
  function roc() {
    const ranked = labelled.filter((i) => i.score !== null), points = [[0, 0]];
    let [alarms, found, area] = [0, 0, 0];
    ranked.forEach((image, index) => {
      image.defect ? found++ : alarms++;
      if (ranked[index + 1]?.score !== image.score) {
        const [x, y] = points.at(-1), next = [alarms / goods, found / defects];
        area += ((next[0] - x) * (next[1] + y)) / 2;
        points.push(next);
      }
    });
    return { points, area };
  }
  const curve = defects && goods ? roc() : null;
  const box = { left: 40, top: 12, side: 168 };
  const at = ([x, y]) => [box.left + x * box.side, box.top + (1 - y) * box.side];

  if (curve) {
    const chart = by("roc"), parts = [];
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      const [x, y] = at([share, share]), bottom = box.top + box.side;
      parts.push(make("line", { class: "grid", x1: box.left, x2: box.left + box.side, y1: y, y2: y }));
      parts.push(make("line", { class: "grid", x1: x, x2: x, y1: box.top, y2: bottom }));
      if (share % 0.5 === 0) {
        parts.push(make("text", { x, y: bottom + 16, "text-anchor": "middle" }, `${share * 100}`));
        parts.push(make("text", { x: box.left - 6, y: y + 4, "text-anchor": "end" }, `${share * 100}`));
      }
    }
    parts.push(make("path", { class: "curve", d: "M" + curve.points.map((p) => at(p).map((v) => v.toFixed(1)).join(" ")).join("L") }));
    parts.push(make("text", { class: "axis", x: box.left + box.side / 2, y: 214, "text-anchor": "middle" }, "good images that alarm, %"));
    const label = make("text", { class: "axis", "text-anchor": "middle", transform: `translate(11 ${box.top + box.side / 2}) rotate(-90)` }, "defects found, %");
    chart.prepend(...parts, label);
    by("auroc").textContent = curve.area.toFixed(4);
  }

  // ---------------------------------------------------------------- counts

  const share = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(1)} %` : "–");
  const put = (id, text) => by(id) && (by(id).textContent = text);

  function count() {
    const none = state.threshold === null;
    const found = images.filter((i) => anomalous(i) === true).length, rest = images.filter((i) => anomalous(i) === false).length;
    put("anomalous", none ? "–" : found);
    put("normal", none ? "–" : rest);
    if (labelled.length) {
      const alarms = images.filter((i) => wrong(i) === "alarm").length, missed = images.filter((i) => wrong(i) === "missed").length;
      const hits = labelled.filter((i) => i.defect && anomalous(i)).length;
      put("alarms", none ? "–" : alarms);
      put("missed", none ? "–" : missed);
      put("of-good", `of ${goods} good`);
      put("of-defects", `of ${defects}`);
      put("precision", none ? "–" : share(hits, hits + alarms));
      put("recall", none ? "–" : share(hits, defects));
      if (curve) {
        const [x, y] = at(none ? [0, 0] : [alarms / goods, hits / defects]);
        by("point").setAttribute("cx", x);
        by("point").setAttribute("cy", y);
        by("roc").setAttribute("aria-label", `ROC curve, area ${curve.area.toFixed(4)}; at this threshold ${share(hits, defects)} of the defects are found and ${share(alarms, goods)} of the good images alarm`);
      }
    }
    const handle = by("handle");
    handle.setAttribute("aria-valuemin", short(unbend(ends[0])));
    handle.setAttribute("aria-valuemax", short(unbend(ends[1])));
    handle.setAttribute("aria-valuenow", short(state.threshold ?? unbend(ends[1])));
    handle.setAttribute("aria-valuetext", none ? "no threshold" : `${number(state.threshold)}: ${found} anomalous, ${rest} normal`);
    if (document.activeElement !== by("threshold")) by("threshold").value = none ? "" : state.threshold;
    by("reset").hidden = state.threshold === data.threshold;
    for (const option of by("folder").options) {
      if (option.value === "") continue;
      const inside = images.filter((i) => i.folder === +option.value);
      const name = data.folders[option.value] || "(top)";
      option.textContent = `${name}: ${none ? inside.length : `${inside.filter(anomalous).length} of ${inside.length} anomalous`}`;
    }
  }

  const passes = {
    all: () => true,
    anomalous: (i) => anomalous(i) === true,
    normal: (i) => anomalous(i) === false,
    alarm: (i) => wrong(i) === "alarm",
    missed: (i) => wrong(i) === "missed",
  };
  const distance = (i) => (state.threshold === null || i.score === null ? Infinity : Math.abs(i.score - state.threshold));
  const orders = {
    high: (a, b) => a.index - b.index,
    low: (a, b) => (a.score === null) - (b.score === null) || b.index - a.index,
    near: (a, b) => distance(a) - distance(b) || a.index - b.index,
    name: (a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : a.index - b.index),
  };

  function filter() {
    const wanted = state.search.trim().toLowerCase(), folder = state.folder;
    shown = images.filter((i) => passes[state.verdict](i) && (folder === "" || i.folder === +folder) && i.lower.includes(wanted));
    if (state.sort !== "high") shown.sort(orders[state.sort]);
    by("list").dataset.view = state.view;
    put("shown", shown.length === images.length ? `all ${images.length}` : `${shown.length} of ${images.length}`);
    by("nothing").hidden = shown.length > 0;
    list.show(shown);
  }

  let waiting = false;
  /* Counts, charts and pictures follow the state, once a frame. */
  function follow() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      all();
    });
  }
  function all() {
    count();
    histogram();
    filter();
  }

  function set(threshold) {
    state.threshold = threshold;
    follow();
    clearTimeout(set.later);
    set.later = setTimeout(toAddress, 300);
  }

  // ---------------------------------------------------------------- what moves the threshold

  const chart = by("histogram"), round = (v) => parseFloat(v.toPrecision(4));
  function pointed(event) {
    const bounds = chart.getBoundingClientRect(), x = ((event.clientX - bounds.left) / bounds.width) * plot.width;
    set(round(value((x - plot.left) / (plot.width - plot.left - plot.right))));
  }
  chart.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    chart.setPointerCapture(event.pointerId);
    by("handle").focus({ preventScroll: true });
    pointed(event);
    event.preventDefault();
  });
  chart.addEventListener("pointermove", (event) => chart.hasPointerCapture(event.pointerId) && pointed(event));
  by("handle").addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
    const now = place(state.threshold ?? unbend(ends[1]));
    if (steps) set(round(value(now + (steps * (event.shiftKey ? 10 : 1)) / 400)));
    else if (event.key === "Home") set(round(value(0)));
    else if (event.key === "End") set(round(value(1)));
    else return;
    event.preventDefault();
  });
  by("threshold").addEventListener("input", (event) => {
    const typed = parseFloat(event.target.value);
    if (Number.isFinite(typed)) set(typed);
  });
  by("reset").addEventListener("click", () => {
    set(data.threshold);
    by("handle").focus({ preventScroll: true });
  });

  for (const key of ["verdict", "folder", "sort", "view", "search"]) {
    by(key).addEventListener("input", (event) => {
      state[key] = event.target.value;
      filter();
      toAddress();
    });
  }
  window.addEventListener("hashchange", () => {
    fromAddress();
    all();
  });

  const PAPER = 300;
  window.addEventListener("beforeprint", () => {
    const printed = list.still(PAPER);
    put("on-paper", printed < shown.length ? `The first ${printed} of ${shown.length} images; filters choose others.` : "");
  });
  window.addEventListener("afterprint", () => list.lively());

  // ---------------------------------------------------------------- start

  if (data.folders.length > 1) {
    data.folders.forEach((_, index) => by("folder").append(make("option", { value: index })));
  } else {
    by("folder").closest("label").hidden = true;
  }
  if (!labelled.length) {
    by("verdict").querySelectorAll("[value=alarm],[value=missed]").forEach((option) => option.remove());
  }
  new ResizeObserver(histogram).observe(chart.parentNode);
  fromAddress();
  all();
  // For whoever measures: milliseconds until all is there.
  document.documentElement.dataset.ready = Math.round(performance.now());
})();
