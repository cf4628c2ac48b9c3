// What all parts share: the data, the filters, and how marks, tips and downloads are made.
"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const ALIAS = " = ";  // between the values for which one run stands
const PALETTE = 8;  // colours, --c0 to --c7, of which the last is grey
const $ = selector => document.querySelector(selector);
const SVG = $("svg").namespaceURI;

// One function for each column: row number -> value, null where it is unknown.
const get = {};
for (const [name, column] of Object.entries(DATA.columns)) {
  if ("all" in column) get[name] = () => column.all;
  else if (column.n) get[name] = i => column.n[i];
  else get[name] = i => column.v[column.c[i]];
}
const ALL = [...Array(DATA.count).keys()];
const AXIS = Object.fromEntries(DATA.axes.map(axis => [axis.name, axis]));
const words = axis => AXIS[axis] ? AXIS[axis].words : axis.replaceAll("_", " ");
const points = score => (100 * score).toFixed(1).replace("-", "−");
const short = value => value === null || value === "" ? "" : typeof value === "number"
  ? (Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(4)))) : value;

function mk(parent, tag, attributes = {}, text) {
  const svg = tag === "svg" || parent.namespaceURI === SVG;
  const node = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

// --- filters: axis -> values that are kept; words of the search field; what is shown changes with them
const state = {chosen: new Map(), text: [], task: DATA.tasks[0], colour: ""};
const parts = (axis, i) => String(get[axis](i)).split(ALIAS);
let visible = ALL;
const drawings = [];  // functions that draw anew

function keeps(i) {
  for (const [axis, values] of state.chosen) {
    if (!parts(axis, i).some(value => values.has(value))) return false;
  }
  return state.text.every(word => hasWord(i, word));
}

function update() {
  visible = ALL.filter(keeps);
  for (const draw of drawings) draw();
}

function toggle(axis, value) {
  const values = state.chosen.get(axis) ?? new Set();
  if (!values.delete(value)) values.add(value);
  if (values.size) state.chosen.set(axis, values); else state.chosen.delete(axis);
  update();
}

function only(wanted) {  // {axis: value}: keep these alone, or let go of them
  const same = Object.entries(wanted).every(([axis, value]) => {
    const values = state.chosen.get(axis);
    return values && values.size === 1 && values.has(value);
  });
  for (const [axis, value] of Object.entries(wanted)) {
    if (same) state.chosen.delete(axis); else state.chosen.set(axis, new Set([value]));
  }
  update();
}

const isChosen = (axis, value) => state.chosen.get(axis)?.has(value) ?? false;

// --- colours, by the values of an axis. Of more values than colours, the chosen ones have one, or the first.
const coloured = axis => {
  const values = AXIS[axis]?.values ?? [];
  if (values.length <= PALETTE) return values;
  const chosen = values.filter(value => isChosen(axis, value));
  return (chosen.length ? chosen : values).slice(0, PALETTE - 1);
};
const colourOf = (axis, value) => {
  const place = coloured(axis).indexOf(value);
  return `var(--c${place >= 0 ? place : AXIS[axis] ? PALETTE - 1 : 0})`;
};
const runColour = i => colourOf(state.colour, parts(state.colour, i)[0]);

// --- scales
function linear(low, high, from, to) {
  if (!(high > low)) { low -= 0.5; high += 0.5; }
  const scale = value => from + (to - from) * (value - low) / (high - low);
  scale.ends = [low, high];
  return scale;
}
function padded(values, share = 0.06) {
  let low = Infinity, high = -Infinity;
  for (const value of values) if (value !== null && isFinite(value)) { low = Math.min(low, value); high = Math.max(high, value); }
  if (low > high) return [0, 1];
  const gap = (high - low || Math.abs(high) * 0.1 || 1) * share;
  return [low - gap, high + gap];
}
function ticks([low, high], count = 6) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(n => n * power).find(n => n >= rough);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) found.push(Number((k * step).toPrecision(12)));
  return found;
}
function logTicks([low, high]) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    for (const n of [1, 2, 5]) found.push(n * 10 ** power);
  const inside = found.filter(value => value >= low && value <= high);
  return inside.length > 2 ? inside : [low * 1.15, Math.sqrt(low * high), high / 1.15];
}
// A number between -1 and 1 that is always the same for a run, so that dots lie beside each other.
const spread = i => ((Math.imul(i + 1, 2654435761) >>> 0) / 2 ** 31) - 1;

// --- tips: what the pointer is on
const tip = mk(document.body, "div", {id: "tip", "aria-hidden": "true"});
tip.hidden = true;
function showTip(event, text) {
  tip.textContent = text;
  tip.hidden = false;
  const x = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  const y = event.clientY + 18 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : event.clientY + 18;
  tip.style.left = `${Math.max(4, x)}px`;
  tip.style.top = `${y}px`;
}
function runText(i) {
  const values = DATA.axes.map(axis => `${axis.words} ${get[axis.name](i)}`).join(", ");
  const score = get.score(i);
  return `${get.run(i)}\n${values}\n${score === null ? get.status(i) : points(score) + " points"}`;
}
document.addEventListener("pointermove", event => {
  const mark = event.target.closest?.("[data-run], [data-tip]");
  if (mark?.dataset.tip) showTip(event, mark.dataset.tip);
  else if (mark?.dataset.run !== undefined && mark.closest("svg")) showTip(event, runText(Number(mark.dataset.run)));
  else if (!event.target.closest?.("#lines svg")) tip.hidden = true;
});
addEventListener("scroll", () => { tip.hidden = true; }, {passive: true});

// A click on a mark that names a run opens it; one on the name of a value filters.
document.addEventListener("click", event => {
  const mark = event.target.closest?.("[data-run], [data-axis]");
  if (!mark) return;
  if (mark.dataset.run !== undefined) openRun(Number(mark.dataset.run));
  else toggle(mark.dataset.axis, mark.dataset.value);
});
document.addEventListener("keydown", event => {
  const mark = event.target.closest?.("svg [role=button]");
  if (mark && (event.key === "Enter" || event.key === " ")) {
    event.preventDefault();
    const {axis, value} = mark.dataset;
    toggle(axis, value);
    [...document.querySelectorAll("svg [role=button]")]
      .find(other => other.dataset.axis === axis && other.dataset.value === value
            && other.closest("figure").id === mark.dataset.figure)?.focus();
  }
});
function valueLabel(svg, figure, axis, value, x, y, anchor = "end", shown = value) {
  const label = mk(svg, "text", {x, y, "text-anchor": anchor, role: "button", tabindex: 0, class: "value",
    "aria-pressed": isChosen(axis, value), "aria-label": `Filter by ${words(axis)} ${value}`,
    "data-axis": axis, "data-value": value, "data-figure": figure}, shown);
  mk(label, "title", {}, `${words(axis)} ${value}: click to filter`);
  return label;
}

// --- charts: a figure with a drawing, a caption, and what it can be saved as
function chart(id, build) {
  const figure = document.getElementById(id);
  if (!figure) return;  // a study of one axis has no map
  const place = figure.querySelector(".drawing");
  let rows = [];
  const draw = () => {
    place.replaceChildren();
    rows = build(place, Math.max(280, place.clientWidth)) ?? [];
  };
  drawings.push(draw);
  const tools = figure.querySelector(".tools");
  const button = (text, act) => { mk(tools, "button", {type: "button"}, text).addEventListener("click", act); };
  button("data (CSV)", () => save(`${id}.csv`, csv(rows), "text/csv"));
  if (!figure.classList.contains("table")) {
    button("picture (SVG)", () => save(`${id}.svg`, picture(place.querySelector("svg")), "image/svg+xml"));
    button("picture (PNG)", () => png(place.querySelector("svg"), `${id}.png`));
  }
}
function canvas(place, width, height, label) {
  return mk(place, "svg", {viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": label});
}
function save(name, content, kind) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], {type: kind}));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
function csv(rows) {
  if (!rows.length) return "";
  const quote = value => /[",\n]/.test(String(value ?? "")) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? "");
  const names = Object.keys(rows[0]);
  return [names, ...rows.map(row => names.map(name => row[name]))].map(row => row.map(quote).join(",")).join("\n") + "\n";
}
function picture(svg) {  // with its style in it, for other programs
  const copy = svg.cloneNode(true), from = [svg, ...svg.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")];
  from.forEach((node, k) => {
    const style = getComputedStyle(node);
    for (const name of ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "fill-opacity", "font-size", "font-family", "font-weight"])
      to[k].style.setProperty(name, style.getPropertyValue(name));
  });
  copy.style.background = getComputedStyle(document.body).backgroundColor;
  return new XMLSerializer().serializeToString(copy);
}
function png(svg, name) {
  const image = new Image(), sheet = document.createElement("canvas"), scale = 3;
  image.onload = () => {
    sheet.width = svg.clientWidth * scale;
    sheet.height = svg.clientHeight * scale;
    sheet.getContext("2d").drawImage(image, 0, 0, sheet.width, sheet.height);
    sheet.toBlob(blob => save(name, blob));
  };
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(picture(svg))}`;
}
