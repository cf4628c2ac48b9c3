// What all parts share: the data, the filters, and how marks, tips and downloads are made.
"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const ALIAS = " = ";  // between the values for which one run stands
const PALETTE = 8;  // colours, --c0 to --c7, of which the last is grey
const $ = selector => document.querySelector(selector);

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
  const node = document.createElement(tag);
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
let drawn = Promise.resolve();  // when all charts show what they should

function keeps(i) {
  for (const [axis, values] of state.chosen) {
    if (!parts(axis, i).some(value => values.has(value))) return false;
  }
  return state.text.every(word => hasWord(i, word));
}

function update() {
  visible = ALL.filter(keeps);
  drawn = Promise.all(drawings.map(draw => draw()));
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
  return `--c${place >= 0 ? place : PALETTE - 1}`;
};
const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const runColour = i => style(state.colour ? colourOf(state.colour, parts(state.colour, i)[0]) : "--c0");

// A click on what names a run opens it; one on the name of a value filters.
document.addEventListener("click", event => {
  const mark = event.target.closest?.("[data-run], [data-axis]");
  if (!mark) return;
  if (mark.dataset.run !== undefined) openRun(Number(mark.dataset.run));
  else toggle(mark.dataset.axis, mark.dataset.value);
});

// --- what a chart can be saved as
function save(name, content, kind) {
  const link = document.createElement("a");
  link.href = kind ? URL.createObjectURL(new Blob([content], {type: kind})) : content;
  link.download = name;
  link.click();
  if (kind) setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
function csv(rows) {
  if (!rows.length) return "";
  const quote = value => /[",\n]/.test(String(value ?? "")) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? "");
  const names = Object.keys(rows[0]);
  return [names, ...rows.map(row => names.map(name => row[name]))].map(row => row.map(quote).join(",")).join("\n") + "\n";
}
function tools(id, data, view) {
  const place = document.querySelector(`#${id} .tools`);
  const button = (text, act) => { mk(place, "button", {type: "button"}, text).onclick = act; };
  button("data (CSV)", () => save(`${id}.csv`, csv(data()), "text/csv"));
  if (!view) return;
  button("picture (SVG)", async () => save(`${id}.svg`, await (await view()).toSVG(), "image/svg+xml"));
  button("picture (PNG)", async () => save(`${id}.png`, await (await view()).toImageURL("png", 3)));
}
