// The filters, the table of runs, and the window of one run.
const PAGE = 100;  // rows that are added at a time
const COLUMNS = ["run", "status", ...DATA.axes.map(axis => axis.name), "score", "seconds", "objective"];
const cell = {
  ...Object.fromEntries(COLUMNS.map(name => [name, get[name]])),
  score: i => get.score(i) === null ? "" : (100 * get.score(i)).toFixed(2),
  seconds: i => get.train_seconds(i) === null ? "" : get.train_seconds(i).toFixed(0),
};
const value = {...cell, score: get.score, seconds: get.train_seconds};
const LOST = new Set(["failed", "missing", "running", "stopped"]);
let sorted = {name: "", down: false}, rowsShown = PAGE;

// A word keeps the rows that contain it; column:value those whose value is exactly that.
function hasWord(i, word) {
  const colon = word.indexOf(":"), name = word.slice(0, colon);
  if (colon < 0 || !COLUMNS.includes(name)) return COLUMNS.some(column => String(cell[column](i) ?? "").toLowerCase().includes(word));
  return String(cell[name](i) ?? "").toLowerCase().split(ALIAS).includes(word.slice(colon + 1));
}

function order(list) {
  if (!sorted.name) return list;
  const key = value[sorted.name], sign = sorted.down ? -1 : 1;
  const compare = new Intl.Collator(undefined, {numeric: true}).compare;
  return [...list].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === null || x === "" || y === null || y === "") return (x === null || x === "") - (y === null || y === "");  // blanks stay last
    const gap = Number(x) - Number(y);
    return sign * (Number.isNaN(gap) ? compare(x, y) : gap);
  });
}

function drawRows() {
  const body = $("#runs tbody"), list = order(visible);
  body.replaceChildren();
  for (const i of list.slice(0, rowsShown)) {
    const row = mk(body, "tr"), first = mk(row, "td");
    mk(first, "button", {type: "button", class: "link", "data-run": i}, get.run(i));
    if (DATA.logged[i]) { first.append(" "); mk(first, "a", {href: `${DATA.folder}/${get.run(i)}/log/distil.log`}, "log"); }
    for (const name of COLUMNS.slice(1)) {
      const text = cell[name](i) ?? "";
      mk(row, "td", LOST.has(text) ? {class: text} : ["score", "seconds"].includes(name) ? {class: "number"} : {}, text);
    }
  }
  $("#more").hidden = list.length <= rowsShown;
  $("#shown").textContent = `${visible.length.toLocaleString("en")} of ${DATA.count.toLocaleString("en")} runs`
    + (list.length > rowsShown ? `, the first ${rowsShown} in the table` : "");
}
drawings.push(drawRows);

function drawHeads() {
  const head = $("#runs thead tr");
  for (const name of COLUMNS) {
    const title = mk(head, "th", {scope: "col", ...(["score", "seconds"].includes(name) ? {class: "number"} : {})});
    mk(title, "button", {type: "button"}, name).addEventListener("click", () => {
      sorted = {name, down: sorted.name === name && !sorted.down};
      for (const other of head.cells) other.removeAttribute("aria-sort");
      title.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
      drawRows();
    });
  }
}

// --- the filters
function drawFilters() {
  const place = $("#filters"), told = $("#told");
  const focused = document.activeElement?.closest("#filters") ? document.activeElement.dataset : null;
  place.replaceChildren();
  const groups = [...DATA.axes, {name: "status", words: "status", values: [...new Set(ALL.map(get.status))]}];
  for (const axis of groups.filter(group => group.values.length > 1)) {
    const set = mk(place, "fieldset");
    mk(set, "legend", {}, axis.words);
    for (const value of axis.values) {
      const chip = mk(set, "button", {type: "button", class: "chip", "aria-pressed": isChosen(axis.name, value), "data-axis": axis.name, "data-value": value}, value);
      if (axis.name === state.colour) chip.style.setProperty("--mark", `var(${colourOf(axis.name, value)})`);
      if (focused?.axis === axis.name && focused?.value === value) chip.focus();
    }
  }
  const legend = $("#legend");
  legend?.replaceChildren();
  const named = coloured(state.colour), others = (AXIS[state.colour]?.values.length ?? 0) - named.length;
  for (const value of legend ? named : [])
    mk(legend, "span", {class: "key", style: `--mark: var(${colourOf(state.colour, value)})`}, value);
  if (legend && others) mk(legend, "span", {class: "key", style: `--mark: var(--c${PALETTE - 1})`}, `${others} others: filter by some to colour them`);
  told.replaceChildren();
  for (const [axis, values] of state.chosen) for (const value of values)
    mk(told, "button", {type: "button", class: "chip", "aria-pressed": "true", "aria-label": `Remove the filter ${words(axis)} ${value}`, "data-axis": axis, "data-value": value}, `${words(axis)} ${value} ×`);
  if (state.chosen.size || state.text.length) mk(told, "button", {type: "button", class: "chip clear"}, "clear all").addEventListener("click", () => {
    state.chosen.clear();
    state.text = [];
    $("#filter").value = "";
    update();
  });
  const many = visible.length === DATA.count ? `All ${DATA.count.toLocaleString("en")} runs` : `${visible.length.toLocaleString("en")} of ${DATA.count.toLocaleString("en")} runs`;
  $("#kept").textContent = many;
}
drawings.push(drawFilters);

// --- one run
const sheet = $("#run");
const tip = mk(document.body, "div", {id: "vg-tooltip-element", class: "vg-tooltip"});  // Vega finds it by its id
let smalls = [], smallViews = [];  // what `embed` draws of the open run, and what it gave
async function drawSmalls() {  // in an open window, whose width is known
  for (const view of smallViews) view.finalize();
  smallViews = await Promise.all(smalls.map(([place, label, rows]) =>
    embed(place, "curve", label, {rows: rows.map(row => ({...row, colour: style("--c0")}))}, {height: 130})));
}
function openRun(i) {
  const id = get.run(i), folder = `${DATA.folder}/${id}`, place = $("#run-content");
  smalls = [];
  place.replaceChildren();
  const head = mk(place, "p", {class: "id"});
  mk(head, "code", {}, id);
  copyButton(head, id);
  const score = get.score(i);
  mk(place, "p", {}, score === null ? `Status: ${get.status(i)}.` : `${[`${points(score)} points on ${get.task(i)}`, ...[["its teacher", get.teacher_score], ["the constant answer", get.majority_score]]
    .filter(([, of]) => of?.(i) != null).map(([who, of]) => `${who} has ${points(of(i))}`)].join("; ")}.`);
  if (get.error?.(i)) mk(place, "pre", {class: "bad"}, get.error(i));
  const names = Object.keys(history(i)).filter(part => part !== "step");
  if (names.length) {
    mk(place, "h3", {}, "Learning curves");
    const grid = mk(place, "div", {class: "smalls"});
    for (const part of names) {
      const rows = curveRows(i, part);
      if (!rows.length) continue;
      const figure = mk(grid, "figure");
      mk(figure, "figcaption", {}, part);
      smalls.push([mk(figure, "div"), `${part} of ${id}`, rows]);
    }
  }
  if (get.log(i)) {
    mk(place, "h3", {}, "End of the log");
    mk(place, "pre", {class: "log", tabindex: 0, "aria-label": "End of the log"}, get.log(i));
  }
  mk(place, "h3", {}, "Files");
  const files = mk(place, "ul");
  const listed = [["spec.json", "what was asked for"], ...(DATA.logged[i] ? [["log/distil.log", "log of the training"]] : []),
    ...(get.status(i) === "done" ? [["metrics.json", "all that was measured"], ["history.csv", "losses by step"], ["log/evaluate.log", "log of the evaluation"], ["model/", "the student, for from_pretrained"]] : [])];
  for (const [file, what] of listed) {
    const item = mk(files, "li");
    mk(item, "a", {href: `${folder}/${file}`}, `results/runs/${id}/${file}`);
    item.append(`: ${what}`);
  }
  mk(place, "h3", {}, "Run it again");
  const line = `snakemake results/runs/${id}/metrics.json --forcerun distil --configfile ${DATA.study}`;
  const again = mk(place, "p");
  mk(again, "code", {}, line);
  copyButton(again, line);
  table(place, "Settings", [...DATA.axes.map(axis => axis.name), "objective", ...DATA.fixed], i);
  table(place, "Measured", DATA.more.filter(name => !["run", "status", "objective"].includes(name)), i);
  sheet.showModal();
  sheet.scrollTop = 0;
  sheet.append(tip);  // an open window hides what is outside it
  drawn = drawSmalls();
}
function table(place, title, names, i) {
  mk(place, "h3", {}, title);
  const body = mk(mk(place, "table"), "tbody");
  for (const name of names) {
    const found = get[name]?.(i);
    if (found === null || found === undefined || found === "") continue;
    const row = mk(body, "tr");
    mk(row, "th", {scope: "row"}, name);
    mk(row, "td", {class: "wrap"}, typeof found === "number" ? `${short(found)} ${["fraction", "B"].includes(DATA.units[name]) ? DATA.units[name].replace("fraction", "") : DATA.units[name] ?? ""}`.trim() : found);
  }
}
function copyButton(place, text) {
  place.append(" ");
  const button = mk(place, "button", {type: "button", class: "copy"}, "copy");
  button.addEventListener("click", async () => {
    const field = mk(sheet, "textarea", {}, text);  // the clipboard's own API needs a secure page
    field.select();
    document.execCommand("copy");
    field.remove();
    button.textContent = "copied";
    button.focus();
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
}
sheet.addEventListener("click", event => { if (event.target === sheet) sheet.close(); });
sheet.addEventListener("close", () => document.body.append(tip));
$("#close").addEventListener("click", () => sheet.close());

// --- start
function options(id, list, first, change = update) {
  const select = $(`#${id}`);
  if (!select) return;
  for (const [key, text] of list) mk(select, "option", {value: key}, text);
  if (first !== undefined) select.value = first;
  select.addEventListener("change", change);
}
const colours = DATA.axes.filter(axis => axis.name !== "seed");
state.colour = (colours.find(axis => axis.name === "knowledge") ?? colours[0] ?? {name: ""}).name;
options("task", DATA.tasks.map(task => [task, task]), state.task, event => { state.task = event.target.value; update(); });
options("colour", colours.map(axis => [axis.name, axis.words]), state.colour, event => { state.colour = event.target.value; update(); });
const leading = DATA.importance.map(row => row.term).filter(term => DATA.effects[term]);
options("effect-axis", Object.keys(DATA.effects).map(axis => [axis, words(axis)]), leading[0]);
options("map-axes", DATA.maps.map((map, k) => [k, map.axes.map(words).join(" × ")]));
options("cost-measure", DATA.costs.map(([, label], k) => [k, label]));
const curveParts = new Set();
for (const i of ALL.slice(0, 400)) for (const part of Object.keys(history(i))) if (part !== "step") curveParts.add(part);
options("curve-part", [...curveParts].map(part => [part, part]));
$("#filter").addEventListener("input", event => {
  state.text = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  rowsShown = PAGE;
  update();
});
$("#more").addEventListener("click", () => { rowsShown += 10 * PAGE; drawRows(); });
drawHeads();
update();
