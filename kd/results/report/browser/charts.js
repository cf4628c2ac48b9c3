// The charts: what each one shows of the runs, and what a click in it does. kd/results/report/charts.py
// has their drawings.
const MOST_CURVES = 60;  // that are drawn at once
const ROW = 36;  // height of a value's strip
const MANY = 1000;  // runs, from which a canvas is faster than an element for each mark
const onTask = i => state.task === get.task(i);
const inside = i => state.task === DATA.tasks[0] || onTask(i);  // all tasks, or the one that was chosen
const scored = list => list.filter(i => get.score(i) !== null);
const values = ALL.map(i => Object.fromEntries(DATA.axes.map(axis => [axis.name, get[axis.name](i)])));
const runRow = i => ({i, run: get.run(i), axes: values[i], score: get.score(i) === null ? null : 100 * get.score(i)});
// A number between -1 and 1 that is always the same for a run, so that dots lie beside each other.
const spread = i => ((Math.imul(i + 1, 2654435761) >>> 0) / 2 ** 31) - 1;
const noted = note => note ? `${note[0].toUpperCase()}${note.slice(1)}.` : "";
const views = {};  // of the charts that are on the page, as promises

function theme() {
  const text = style("--text"), soft = style("--soft"), ground = style("--ground"), line = style("--line");
  return {
    background: ground, font: "system-ui, sans-serif", view: {stroke: null}, range: {ramp: [style("--low"), style("--heat")]},
    axis: {labelColor: text, titleColor: soft, gridColor: line, domainColor: line, tickColor: line, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal"},
    style: {interval: {color: text, strokeWidth: 2.2}, mean: {fill: ground, color: text, strokeWidth: 2.2, opacity: 1},
      front: {color: text, strokeWidth: 1.2}, axis: {color: style("--strong-line")}, value: {color: text, fontSize: 12},
      halo: {color: ground, stroke: ground, strokeWidth: 3, fontSize: 12}, name: {color: soft, fontSize: 12}},
  };
}

// What Vega-Lite cannot ask of Vega: axis titles that change, and clicks on names and on marks without a selection.
function patch(spec) {
  const banded = new Set(spec.scales.filter(scale => scale.type === "band").map(scale => scale.name));
  for (const axis of spec.axes ?? []) {
    if (axis.title === "$title") axis.title = {signal: "title"};
    if (banded.has(axis.scale)) axis.encode = {labels: {interactive: true, update: {cursor: {value: "pointer"}}}};
  }
  for (const mark of spec.marks) if (mark.encode?.update?.cursor) mark.interactive = true;
  return spec;
}

const ERRORS = 1;  // Vega's level of messages; it warns of a chart that has no rows, which is not a fault
async function embed(place, name, label, datasets, {height, ...signals} = {}) {
  const spec = {...DATA.charts[name], description: label, datasets};
  if (height) spec.height = height;
  spec.params = spec.params.map(param => param.name in signals ? {...param, value: signals[param.name]} : param);
  const {view} = await vegaEmbed(place, spec, {mode: "vega-lite", actions: false, logLevel: ERRORS, config: theme(), patch,
    renderer: DATA.count > MANY ? "canvas" : "svg", tooltip: {theme: matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"}});
  // Vega itself shows the tip of a line near its points alone.
  view.addEventListener("pointermove", (event, item) => { if (item?.mark.marktype === "line") view.tooltip()(null, event, item, item.tooltip); });
  return view;
}

// A figure with a drawing. `content` gives its data sets, its signals and the rows of its CSV file, `target`
// what a mark stands for: {run}, {axis, value}, or {only} with a value for each of several axes.
function chart(id, name, label, content, target) {
  const figure = document.getElementById(id);
  if (!figure) return;  // a study of one axis has no map
  const place = figure.querySelector(".drawing");
  let csvRows = [];
  const draw = async () => {
    const {csv, signals = {}, ...sets} = content();
    csvRows = csv;
    if (!views[id]) {
      views[id] = embed(place, name, label, sets, signals);
      (await views[id]).addEventListener("click", (event, item) => { if (item?.cursor === "pointer") act(target(item.datum)); });
    } else {
      const view = await views[id];
      for (const [set, rows] of Object.entries(sets)) view.data(set, rows);
      for (const [signal, value] of Object.entries(signals)) view.signal(signal, value);
      await view.resize().runAsync();
    }
    for (const label of labels(place)) reach(label, place, target);
  };
  drawings.push(draw);
  tools(id, () => csvRows, () => views[id]);
}
function act({run, axis, value, only: wanted}) {
  if (run !== undefined) openRun(run); else if (wanted) only(wanted); else toggle(axis, value);
}
// The names of values are buttons for the keyboard too.
const labels = place => [...place.querySelectorAll("text")].filter(text => text.__data__?.cursor === "pointer");
function reach(label, place, target) {
  const {axis, value} = target(label.__data__.datum);
  const attributes = {role: "button", tabindex: 0, "aria-label": `Filter by ${words(axis)} ${value}`, "aria-pressed": isChosen(axis, value)};
  for (const [name, text] of Object.entries(attributes)) label.setAttribute(name, text);
  label.onkeydown = async event => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    const same = attributes["aria-label"];
    toggle(axis, value);
    await drawn;
    labels(place).find(other => other.getAttribute("aria-label") === same)?.focus();
  };
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const [id, view] of Object.entries(views)) {
    delete views[id];
    view.then(old => old.finalize());
  }
  update();
  if (sheet.open) drawn = Promise.all([drawn, drawSmalls()]);
});

// --- the effect of an axis: means with intervals over all runs, dots of the runs that are shown
chart("effect", "effect", "Score by the values of an axis", () => {
  const axis = $("#effect-axis").value, effect = DATA.effects[axis], shown = new Set(visible);
  const marks = effect.marks.filter(mark => mark[2] === state.task && mark[3] !== null);
  const place = value => ({value, rank: effect.values.indexOf(value)});
  const dots = scored(ALL).filter(i => onTask(i) && DATA.counted[i]).flatMap(i => parts(axis, i).filter(value => effect.values.includes(value))
    .map(value => ({...runRow(i), ...place(value), kind: "run", spread: spread(i), shown: shown.has(i), colour: runColour(i)})));
  const means = marks.map(([value, series, , mean, low, high, n, planned]) => ({...place(value), kind: series === "control" ? series : "mean",
    spread: series === "control" ? 0.9 : -0.2, score: 100 * mean, low: low === null ? null : 100 * low, high: high === null ? null : 100 * high,
    interval: low === null ? "" : `${points(low)} to ${points(high)}`, runs: `${n} of ${planned}`}));
  $("#effect-note").textContent = noted(effect.note);
  return {rows: [...dots, ...means], signals: {title: `score in points, ${state.task}`, height: ROW * effect.values.length},
    csv: marks.map(([value, series, task, mean, low, high, n, planned]) => ({[axis]: value, series, task, mean, low, high, n, planned}))};
}, ({i, value}) => {
  const axis = $("#effect-axis").value;
  if (i !== undefined) return {run: i};
  return AXIS[axis].values.includes(value) ? {axis, value} : {axis: "knowledge", value};  // a control that the axis cannot affect
});

// --- importance: shares of the variance
(function importance() {
  const body = $("#importance tbody");
  if (!body) return;
  const most = Math.max(...DATA.importance.map(row => row.share));
  for (const {term, kind, share, p} of DATA.importance) {
    const row = mk(body, "tr"), head = mk(row, "th", {scope: "row"});
    if (DATA.effects[term]) {
      const button = mk(head, "button", {type: "button", class: "link"}, words(term));
      button.addEventListener("click", () => { $("#effect-axis").value = term; update(); $("#effect").scrollIntoView({block: "nearest"}); });
    } else head.textContent = term.split(" × ").map(words).join(" × ");
    const bar = mk(mk(row, "td", {class: "barred"}), "span", {class: `bar ${kind}`});
    bar.style.width = `${100 * Math.max(0, share) / most}%`;
    mk(row, "td", {class: "number"}, `${points(share)} %`);
    mk(row, "td", {class: "number"}, p === null ? "" : p < 0.001 ? "<0.001" : p.toPrecision(2));
  }
  tools("importance", () => DATA.importance);
})();

// --- maps of two axes: a table, whose cells filter
let mapRows = [];
function drawMap() {
  const map = DATA.maps[Number($("#map-axes").value)], place = $("#map .drawing");
  const [a, b] = map.axes, marks = map.marks.filter(mark => mark[2] === state.task);
  const means = marks.map(mark => mark[3]).filter(mean => mean !== null);
  const [low, high] = [Math.min(...means), Math.max(...means)];
  const focused = [...place.querySelectorAll("button")].indexOf(document.activeElement);
  place.replaceChildren();
  const table = mk(mk(place, "div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "Map of two axes"}), "table");
  const head = mk(mk(table, "thead"), "tr");
  mk(head, "th", {scope: "col"}, `${words(a)} \\ ${words(b)}`);
  for (const value of map.values[1]) mk(head, "th", {scope: "col", class: "number"}, value === "-" ? `no ${words(b)}` : value);
  const body = mk(table, "tbody");
  for (const down of map.values[0]) {
    const row = mk(body, "tr");
    mk(row, "th", {scope: "row"}, down === "-" ? `no ${words(a)}` : down);
    for (const across of map.values[1]) {
      const mark = marks.find(m => m[0] === down && m[1] === across), cell = mk(row, "td", {class: "number"});
      if (!mark || mark[3] === null) { cell.textContent = mark ? "missing" : ""; continue; }
      const share = high > low ? (mark[3] - low) / (high - low) : 0.5;
      cell.style.background = `color-mix(in oklab, var(--heat) ${Math.round(12 + 68 * share)}%, transparent)`;
      const button = mk(cell, "button", {type: "button", "aria-pressed": isChosen(a, down) && isChosen(b, across),
        title: `${words(a)} ${down}, ${words(b)} ${across}: ${mark[6]} of ${mark[7]} runs`}, points(mark[3]));
      if (mark[6] < mark[7]) mk(cell, "small", {}, ` ${mark[6]}/${mark[7]}`);
      button.addEventListener("click", () => only({[a]: down, [b]: across}));
    }
  }
  if (focused >= 0) place.querySelectorAll("button")[focused].focus();
  $("#map-note").textContent = noted(map.note);
  mapRows = marks.map(([x, y, task, mean, lower, upper, n, planned]) => ({[a]: x, [b]: y, task, mean, low: lower, high: upper, n, planned}));
}
if ($("#map")) {
  drawings.push(drawMap);
  tools("map", () => mapRows);
}

// --- score against cost, with the Pareto front of the cells that are shown
chart("cost", "cost", "Score against cost", () => {
  const [name, label, factor] = DATA.costs[Number($("#cost-measure").value)], cost = get[`cost:${name}`];
  const list = scored(visible).filter(i => inside(i) && DATA.counted[i] && cost(i) > 0), cells = new Map();
  const keys = DATA.axes.map(axis => axis.name).filter(axis => axis !== "seed" && axis !== "task" && !DATA.tuned.includes(axis));
  // The median over all runs of a student: its time does not depend on what it learned.
  const times = new Map();
  for (const i of list) times.set(get.student(i), [...(times.get(get.student(i)) ?? []), cost(i)]);
  for (const [student, all] of times) {
    all.sort((a, b) => a - b);
    times.set(student, (all[(all.length - 1) >> 1] + all[all.length >> 1]) / 2);
  }
  for (const i of list) {
    const values = keys.map(axis => get[axis](i)), key = values.join(" · ");
    const cell = cells.get(key) ?? {key, values, runs: [], tasks: new Map()};
    cell.runs.push(i);
    cell.tasks.set(get.task(i), [...(cell.tasks.get(get.task(i)) ?? []), i]);
    cells.set(key, cell);
  }
  const mean = values => values.reduce((a, b) => a + b, 0) / values.length;
  const every = new Set(list.map(get.task)), all = [...cells.values()];
  // On a task where an axis has no effect (-), the run there is that of each value of the axis.
  const stands = (other, cell) => other.values.every((value, k) => value === cell.values[k] || value === "-");
  const lent = new Set();
  for (const cell of all) for (const task of every) {
    const other = cell.tasks.has(task) ? null : all.find(o => o !== cell && o.tasks.has(task) && stands(o, cell));
    if (!other) continue;
    cell.tasks.set(task, other.tasks.get(task));
    lent.add(other);
  }
  // A mean over tasks counts only where a cell has them all.
  const whole = all.filter(cell => cell.tasks.size === every.size), left_out = all.filter(cell => cell.tasks.size < every.size && !lent.has(cell)).length;
  $("#cost-note").textContent = left_out ? `${left_out} cells are not shown: they have no finished run on some task.` : "";
  const rows = whole.map(cell => {
    const own = [...cell.tasks.values()];
    return {cell: cell.key, cost: factor * times.get(get.student(cell.runs[0])), score: 100 * mean(own.map(runs => mean(runs.map(get.score)))),
      runs: own.flat().length, first: cell.runs[0]};
  }).sort((p, q) => p.cost - q.cost || q.score - p.score);
  const front = [];
  for (const row of rows) if (!front.length || row.score > front.at(-1).score) front.push(row);
  return {rows: rows.map(row => ({...row, axes: keys, front: front.includes(row), colour: runColour(row.first)})), signals: {title: label},
    csv: rows.map(({first, ...row}) => ({...row, score: row.score / 100, front: front.some(other => other.first === first)}))};
}, ({first, axes}) => ({only: Object.fromEntries(axes.map(axis => [axis, parts(axis, first)[0]]))}));

// --- parallel coordinates: a line for each run, through its values to its score
chart("lines", "lines", "Runs as lines through their values to their scores", () => {
  const axes = DATA.axes.map(axis => axis.name).filter(axis => axis !== "seed"), shown = new Set(visible);
  const all = scored(ALL).filter(inside), list = all.filter(i => shown.has(i)), scores = all.map(i => 100 * get.score(i));
  let low = scores.reduce((a, b) => Math.min(a, b), Infinity), high = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  if (low === high) [low, high] = [low - 1, high + 1];  // room for the values
  const height = (axis, value) => {
    const count = AXIS[axis].values.length, share = count > 1 ? AXIS[axis].values.indexOf(value) / (count - 1) : 0.5;
    return low + (high - low) * share;
  };
  const rows = all.flatMap(i => {
    const row = {...runRow(i), shown: shown.has(i)}, near = 0.02 * (high - low) * spread(i);
    return [...axes.map((axis, step) => ({...row, step, at: height(axis, parts(axis, i)[0]) + near})), {...row, step: axes.length, at: row.score}];
  });
  const named = all.length ? axes.flatMap((axis, step) => [{kind: "axis", step, label: words(axis)},
    ...AXIS[axis].values.map(value => ({kind: "value", step, axis, value, label: value, at: height(axis, value)}))]) : [];
  return {rows, values: named, signals: {height: Math.max(340, 16 * Math.max(...axes.map(axis => AXIS[axis].values.length))), steps: axes.length,
    strength: Math.max(0.12, Math.min(0.8, 60 / list.length)), faint: Math.min(0.1, 10 / all.length)},
    csv: list.map(i => ({run: get.run(i), ...values[i], score: get.score(i)}))};
}, ({i, axis, value}) => i === undefined ? {axis, value} : {run: i});

// --- learning curves
const parsed = new Map();
function history(i) {
  if (!parsed.has(i)) {
    const columns = {};
    for (const part of (get.history?.(i) || "").split(";").filter(Boolean)) {
      const at = part.lastIndexOf("=");
      columns[part.slice(0, at)] = part.slice(at + 1).split(" ").map(Number);
    }
    parsed.set(i, columns);
  }
  return parsed.get(i);
}
function curvePoints(i, part) {
  const columns = history(i);
  return columns.step && columns[part] ? columns.step.map((step, k) => [step, columns[part][k]]).filter(([, v]) => isFinite(v)) : [];
}
const curveRows = (i, part) => curvePoints(i, part).map(([step, value], _, all) => ({...runRow(i), step, value, alone: all.length === 1}));
chart("curves", "curve", "Learning curves", () => {
  const part = $("#curve-part").value, list = visible.filter(i => inside(i) && get.history?.(i));
  // A sample that is the same at each drawing. Every third run, say, could be those of one seed.
  const some = list.length > MOST_CURVES ? [...list].sort((i, j) => spread(i) - spread(j)).slice(0, MOST_CURVES) : list;
  $("#curve-note").textContent = some.length < list.length ? `${some.length} of ${list.length.toLocaleString("en")} runs are drawn; filter to see others.` : "";
  const rows = some.flatMap(i => curveRows(i, part).map(row => ({...row, colour: runColour(i)})));
  return {rows, csv: rows.map(({run, step, value}) => ({run, part, step, value}))};
}, ({i}) => ({run: i}));
