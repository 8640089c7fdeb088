"use strict";

const NAMESPACE = document.getElementById("blank").namespaceURI;
const SHAPES = {
  circle: "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0",
  square: "M-4.5,-4.5h9v9h-9z",
  triangle: "M0,-5.8L5.6,4.4H-5.6z",
  diamond: "M0,-6.2L6.2,0L0,6.2L-6.2,0z",
};

/** An HTML element. Strings become text, never markup. */
function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** An SVG element. */
function drawn(name, attributes = {}, ...children) {
  return fill(document.createElementNS(NAMESPACE, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** A number with so many significant digits, as people write it. */
function short(value, digits = 3) {
  if (!isNumber(value)) return value === null || value === undefined ? "" : String(value);
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e9) return value.toLocaleString("en-US").replace("-", "−");
  if (size < 1e-4 || size >= 1e7)
    return value
      .toExponential(digits - 1)
      .replace("-", "−")
      .replace("e−", "e-");
  const places = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  const text = value.toLocaleString("en-US", { maximumFractionDigits: places, minimumFractionDigits: places });
  return text.replace("-", "−");
}

/** A number without zeros at its end, for an axis. */
const trimmed = (value) =>
  short(value)
    .replace(/(\.\d*?)0+$/, "$1")
    .replace(/\.$/, "");

/** A value with its standard error, to two digits of the error. */
function withError(estimate) {
  if (!estimate || estimate.value === null || estimate.value === undefined) return "";
  const { value, stderr } = estimate;
  if (!isNumber(value) || !isNumber(stderr)) return short(value, 4);
  if (stderr === 0) return `${short(value, 4)} ± 0`;
  if (Math.abs(value) >= 1e7 || stderr < 1e-6) return `${short(value, 4)} ± ${short(stderr, 2)}`;
  const places = Math.max(0, Math.min(8, 1 - Math.floor(Math.log10(stderr))));
  const options = { maximumFractionDigits: places, minimumFractionDigits: places };
  const [text, error] = [value, stderr].map((number) => number.toLocaleString("en-US", options).replace("-", "−"));
  return `${text} ± ${error}`;
}

/** Where an axis is marked: at multiples of 1, 2 or 5; on a logarithmic one at powers and what lies between. */
function ticks(low, high, log, most) {
  if (log) {
    for (const steps of [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7]]) {
      const found = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
        found.push(...steps.map((step) => Number(`${step}e${power}`)));
      }
      const inside = found.filter((value) => value >= low && value <= high);
      if (inside.length > most) return thinned(inside, most);
      if (inside.length >= 3) return inside;
    }
  }
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}

function thinned(values, most) {
  const every = Math.ceil(values.length / most);
  return values.filter((_, i) => i % every === 0);
}

/** The values' range with some room, never empty; on a logarithmic axis of the positive ones. */
function range(values, log, room) {
  const usable = values.filter((value) => isNumber(value) && (!log || value > 0));
  if (!usable.length) return [log ? 0.1 : 0, 1];
  let low = Math.min(...usable);
  let high = Math.max(...usable);
  if (log) {
    if (high / low < 1.02) [low, high] = [low / 1.3, high * 1.3];
    const factor = (high / low) ** room;
    return [low / factor, high * factor];
  }
  if (high - low <= 1e-9 * Math.max(Math.abs(high), Math.abs(low))) {
    const around = Math.abs(high) * 0.1 || 1;
    [low, high] = [low - around, high + around];
  }
  const more = (high - low) * room;
  return [low - more, high + more];
}

/** value -> place between `from` and `to`; what a logarithmic axis cannot show lies on its lower end. */
function scale([low, high], log, from, to) {
  const at = log ? Math.log : (value) => value;
  return (value) => {
    const inside = log ? Math.max(value, low) : value;
    return from + ((at(inside) - at(low)) / (at(high) - at(low))) * (to - from);
  };
}

/**
 * Draws a plot into `host`, again whenever its width changes.
 * spec: name, x and y ({label, log, among}), height, series, levels ({value, label, kind}); a series has color, round (how
 * often the colors were gone through before), path ("thin", "line" or none), band, points ({x, y, xe, ye, shape, hollow,
 * about}), about = [title, [[key, value], ...], settings]. The levels' names stand above the panel, away from all points.
 */
function plot(host, spec) {
  let width = 0;
  const draw = () => {
    width = host.clientWidth;
    if (width > 0) host.replaceChildren(picture(spec, width));
  };
  draw();
  new ResizeObserver(() => Math.abs(host.clientWidth - width) > 1 && draw()).observe(host);
}

function picture(spec, width) {
  const points = spec.series.flatMap((series) => series.points);
  if (!points.length)
    return element("p", { class: "none" }, "No points here: not measured, or left out by the filters.");
  const [left, right, bottom] = [58, 14, 44];
  const spread = (key, error) =>
    points.flatMap((p) => [p[key], ...(isNumber(p[error]) ? [p[key] - p[error], p[key] + p[error]] : [])]);
  const ranges = {
    x: range([...spread("x", "xe"), ...(spec.x.among || [])], spec.x.log, 0.05),
    y: range([...spread("y", "ye"), ...(spec.y.among || [])], spec.y.log, 0.06),
  };
  const keys = names(seen(spec.levels, ranges.y), left, width - right);
  const top = 12 + keys.height;
  const height = spec.height + keys.height;
  const x = scale(ranges.x, spec.x.log, left, width - right);
  const y = scale(ranges.y, spec.y.log, height - bottom, top);
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": spec.name });
  svg.append(...frame(spec, ranges, { x, y, left, right, top, bottom, width, height }));
  for (const series of spec.series) svg.append(...lines(series, x, y));
  spec.series.forEach((series, line) => {
    svg.append(...series.points.map((point, i) => mark(point, series, x, y, line, i === 0)));
  });
  svg.append(...keys.made);
  return svg;
}

function frame(spec, ranges, at) {
  const { x, y, left, right, top, bottom, width, height } = at;
  const made = [];
  for (const value of ticks(...ranges.x, spec.x.log, Math.max(2, Math.floor((width - left) / 75)))) {
    made.push(drawn("line", { class: "grid", x1: x(value), x2: x(value), y1: top, y2: height - bottom }));
    made.push(drawn("text", { x: x(value), y: height - bottom + 16, "text-anchor": "middle" }, trimmed(value)));
  }
  for (const value of ticks(...ranges.y, spec.y.log, Math.max(3, Math.floor(height / 55)))) {
    made.push(drawn("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
    made.push(drawn("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, trimmed(value)));
  }
  made.push(drawn("path", { class: "axis", d: `M${left},${top}V${height - bottom}H${width - right}` }));
  for (const { value, kind } of seen(spec.levels, ranges.y)) {
    made.push(drawn("path", { class: `level ${kind}`, d: `M${left},${y(value)}H${width - right}` }));
  }
  made.push(
    drawn(
      "text",
      { class: "label", x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle" },
      spec.x.label,
    ),
  );
  const turned = `translate(13,${(top + height - bottom) / 2}) rotate(-90)`;
  made.push(drawn("text", { class: "label", transform: turned, "text-anchor": "middle" }, spec.y.label));
  return made;
}

/** The levels within a range, from above. */
function seen(levels, [low, high]) {
  return levels.filter(({ value }) => value >= low && value <= high).sort((a, b) => b.value - a.value);
}

/** The levels' names above the panel, each after a piece of its line, in as many rows as they take. */
function names(levels, left, end) {
  const made = [];
  let [place, row] = [left, 1];
  for (const { label, kind } of levels) {
    const wide = 30 + 7 * label.length;
    if (place > left && place + wide > end) [place, row] = [left, row + 1];
    made.push(drawn("path", { class: `key ${kind}`, d: `M${place},${row * 16 - 4}h24` }));
    made.push(drawn("text", { class: "name", x: place + 29, y: row * 16 }, label));
    place += wide + 12;
  }
  return { made, height: levels.length ? row * 16 : 0 };
}

function lines(series, x, y) {
  const made = [];
  const color = `color${series.color}`;
  const known = series.points;
  if (series.band && known.length > 1) {
    const upper = known.map((p) => `${x(p.x)},${y(p.y + (p.ye || 0))}`);
    const lower = known.map((p) => `${x(p.x)},${y(p.y - (p.ye || 0))}`).reverse();
    made.push(drawn("path", { class: `band ${color}`, d: `M${[...upper, ...lower].join("L")}Z` }));
  }
  if (series.path && known.length > 1) {
    made.push(
      drawn("path", {
        class: `path ${series.path} round${series.round % 3} ${color}`,
        d: `M${known.map((p) => `${x(p.x)},${y(p.y)}`).join("L")}`,
      }),
    );
  }
  return made;
}

/** A point with its error bars, that says what it is to the pointer, the keyboard and a screen reader. */
function mark(point, series, x, y, line, first) {
  const [px, py] = [x(point.x), y(point.y)];
  const [title, facts] = point.about;
  const kind = point.shape ? (point.hollow ? "hollow" : "filled") : point.hollow ? "dot hollow" : "dot";
  const said = [title, ...facts.map(([key, value]) => `${key} ${value}`)].join(", ");
  const group = drawn("g", {
    class: `point ${kind} color${series.color}`,
    role: "img",
    "aria-label": said,
    tabindex: point.shape || first ? 0 : -1,
    "data-line": line,
  });
  if (point.shape) {
    if (point.xe > 0)
      group.append(drawn("path", { class: "bar", d: `M${x(point.x - point.xe)},${py}H${x(point.x + point.xe)}` }));
    if (point.ye > 0)
      group.append(drawn("path", { class: "bar", d: `M${px},${y(point.y - point.ye)}V${y(point.y + point.ye)}` }));
  }
  group.append(
    symbol(point.shape || "circle", point.hollow && point.shape, px, py, point.shape ? series.round : 0),
    drawn("circle", { class: "hit", cx: px, cy: py, r: point.shape ? 11 : 6 }),
  );
  group.addEventListener("pointerenter", (event) => showTip(point.about, event.clientX, event.clientY));
  group.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && hideTip());
  group.addEventListener("focus", () => {
    const box = group.getBoundingClientRect();
    showTip(point.about, box.right, box.bottom);
  });
  group.addEventListener("blur", hideTip);
  group.addEventListener("keydown", walk);
  return group;
}

/** A mark; with a ring around it for each time that the colors were gone through before. */
function symbol(shape, hollow, px = 8, py = 8, rings = 0) {
  const group = drawn(
    "g",
    { transform: `translate(${px},${py})` },
    drawn("path", { class: "shape", d: SHAPES[shape] }),
  );
  if (hollow) group.append(drawn("path", { class: "cross", d: "M-2.4,-2.4L2.4,2.4M-2.4,2.4L2.4,-2.4" }));
  for (let i = 0; i < rings; i++) group.append(drawn("circle", { class: "ring", r: 8 + 3 * i }));
  return group;
}
