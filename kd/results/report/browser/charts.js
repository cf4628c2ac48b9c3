// The charts: effects, importance, maps, cost, parallel coordinates, learning curves.
const ROW = 36;  // height of a value's strip
const MOST_CURVES = 60;  // that are drawn at once
const onTask = i => state.task === get.task(i);
const scored = list => list.filter(i => get.score(i) !== null);

function scoreAxis(svg, scale, left, right, bottom, label) {
  for (const tick of ticks(scale.ends)) {
    mk(svg, "line", {class: "grid", x1: scale(tick), x2: scale(tick), y1: 4, y2: bottom});
    mk(svg, "text", {x: scale(tick), y: bottom + 15, "text-anchor": "middle"}, String(tick).replace("-", "−"));
  }
  mk(svg, "text", {x: (left + right) / 2, y: bottom + 32, "text-anchor": "middle", class: "title"}, label);
}
const cut = (text, width) => text.length * 6.6 > width ? `${text.slice(0, Math.max(3, Math.floor(width / 6.6) - 1))}…` : text;

// --- the effect of an axis: means with intervals over all runs, dots of the runs that are shown
chart("effect", (place, width) => {
  const axis = $("#effect-axis").value, found = DATA.effects[axis];
  const marks = found.marks.filter(mark => mark[2] === state.task && mark[3] !== null);
  const left = Math.min(200, 0.36 * width, 24 + 6.7 * Math.max(...found.values.map(v => v.length))), right = width - 14;
  const bottom = 8 + ROW * found.values.length;
  const dots = scored(ALL).filter(i => onTask(i) && DATA.counted[i]), shown = new Set(visible);
  const ends = padded([...dots.map(i => 100 * get.score(i)), ...marks.flatMap(m => [m[4], m[5]].map(v => v === null ? null : 100 * v))]);
  const x = linear(...ends, left + 8, right);
  const svg = canvas(place, width, bottom + 38, `Score by ${words(axis)} on ${state.task}`);
  scoreAxis(svg, x, left, right, bottom, `score in points, ${state.task}`);
  const rows = [];
  found.values.forEach((value, k) => {
    const y = 8 + ROW * (k + 0.5);
    valueLabel(svg, "effect", axis, value, left - 2, y + 4, "end", cut(value, left - 6));
    for (const i of dots) {
      if (!parts(axis, i).includes(value)) continue;
      mk(svg, "circle", {class: shown.has(i) ? "dot" : "dot off", cx: x(100 * get.score(i)), cy: y + 11 * spread(i), r: 3.2,
        style: `fill: ${runColour(i)}`, "data-run": i});
    }
    for (const [, series, , mean, low, high, n, planned] of marks.filter(mark => mark[0] === value)) {
      const at = series === "control" ? y + 9 : y - 2, text = `${words(axis)} ${value}${series === "control" ? ", control" : ""}: ${points(mean)}`
        + (low === null ? "" : ` (${points(low)} to ${points(high)})`) + ` from ${n} of ${planned} runs`;
      if (low !== null) mk(svg, "line", {class: "interval", x1: x(100 * low), x2: x(100 * high), y1: at, y2: at});
      if (series === "control") mk(svg, "rect", {class: "mean", x: x(100 * mean) - 5, y: at - 5, width: 10, height: 10, "data-tip": text});
      else mk(svg, "circle", {class: "mean", cx: x(100 * mean), cy: at, r: 6, "data-tip": text});
      rows.push({[axis]: value, series, task: state.task, mean, low, high, n, planned});
    }
  });
  $("#effect-note").textContent = found.note ? `${found.note[0].toUpperCase()}${found.note.slice(1)}.` : "";
  return rows;
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
    } else head.textContent = term;
    const bar = mk(mk(row, "td", {class: "barred"}), "span", {class: `bar ${kind}`});
    bar.style.width = `${100 * Math.max(0, share) / most}%`;
    mk(row, "td", {class: "number"}, `${points(share)} %`);
    mk(row, "td", {class: "number"}, p === null ? "" : p < 0.001 ? "<0.001" : p.toPrecision(2));
  }
  chart("importance", () => DATA.importance);
})();

// --- maps of two axes: a table, whose cells filter
chart("map", place => {
  const found = DATA.maps[Number($("#map-axes").value)];
  const [a, b] = found.axes, marks = found.marks.filter(mark => mark[2] === state.task);
  const means = marks.map(mark => mark[3]).filter(mean => mean !== null);
  const [low, high] = [Math.min(...means), Math.max(...means)];
  const table = mk(mk(place, "div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "Map of two axes"}), "table");
  const head = mk(mk(table, "thead"), "tr");
  mk(head, "th", {scope: "col"}, `${words(a)} \\ ${words(b)}`);
  for (const value of found.values[1]) mk(head, "th", {scope: "col", class: "number"}, value === "-" ? `no ${words(b)}` : value);
  const body = mk(table, "tbody");
  for (const down of found.values[0]) {
    const row = mk(body, "tr");
    mk(row, "th", {scope: "row"}, down === "-" ? `no ${words(a)}` : down);
    for (const across of found.values[1]) {
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
  $("#map-note").textContent = found.note ? `${found.note[0].toUpperCase()}${found.note.slice(1)}.` : "";
  return marks.map(([x, y, task, mean, lower, upper, n, planned]) => ({[a]: x, [b]: y, task, mean, low: lower, high: upper, n, planned}));
});

// --- score against cost, with the Pareto front of the cells that are shown
chart("cost", (place, width) => {
  const [name, label, factor] = DATA.costs[Number($("#cost-measure").value)], cost = get[`cost:${name}`];
  const task = state.task, height = 340, left = 46, right = width - 14, bottom = height - 44;
  const inside = i => task === DATA.tasks[0] || onTask(i);
  const list = scored(visible).filter(i => inside(i) && cost(i) > 0), cells = new Map();
  const keys = DATA.axes.map(axis => axis.name).filter(axis => axis !== "seed" && axis !== "task");
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
    return {cell: cell.key, cost: factor * mean(own.flat().map(cost)), score: 100 * mean(own.map(runs => mean(runs.map(get.score)))),
      runs: own.flat().length, first: cell.runs[0]};
  }).sort((p, q) => p.cost - q.cost || q.score - p.score);
  const svg = canvas(place, width, height, `Score against ${label}`);
  if (!rows.length) { mk(svg, "text", {x: left, y: 40}, "No finished run is shown."); return []; }
  const costs = rows.map(row => row.cost), [low, high] = [Math.min(...costs) / 1.15, Math.max(...costs) * 1.15];
  const log = linear(Math.log(low), Math.log(high), left + 8, right), x = value => log(Math.log(value));
  const y = linear(...padded(rows.map(row => row.score)), bottom, 10);
  for (const tick of ticks(y.ends, 5)) {
    mk(svg, "line", {class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick)});
    mk(svg, "text", {x: left - 6, y: y(tick) + 4, "text-anchor": "end"}, String(tick).replace("-", "−"));
  }
  for (const tick of logTicks([low, high])) mk(svg, "text", {x: x(tick), y: bottom + 16, "text-anchor": "middle"}, short(tick));
  mk(svg, "text", {x: (left + right) / 2, y: bottom + 34, "text-anchor": "middle", class: "title"}, label);
  const front = [];
  for (const row of rows) if (!front.length || row.score > front.at(-1).score) front.push(row);
  mk(svg, "polyline", {class: "front", points: front.map(row => `${x(row.cost)},${y(row.score)}`).join(" ")});
  for (const row of rows) {
    const mark = mk(svg, "circle", {class: "dot mark", cx: x(row.cost), cy: y(row.score), r: 5, style: `fill: ${runColour(row.first)}`,
      "data-tip": `${row.cell}\n${row.score.toFixed(1)} points, ${short(row.cost)} ${label}; ${row.runs} runs`});
    mark.addEventListener("click", () => only(Object.fromEntries(keys.map(axis => [axis, parts(axis, row.first)[0]]))));
  }
  return rows.map(({first, ...row}) => ({...row, front: front.some(other => other.first === first)}));
});

// --- parallel coordinates: a line for each run, by its values and its score
chart("lines", (place, width) => {
  const axes = DATA.axes.filter(axis => axis.name !== "seed").map(axis => axis.name);
  const height = 360, top = 34, bottom = height - 14, right = width - 46;
  const left = Math.min(0.2 * width, 16 + 6.7 * Math.max(...AXIS[axes[0]].values.map(v => v.length)));
  const inside = i => state.task === DATA.tasks[0] || onTask(i);  // all tasks, or the one that was chosen
  const all = scored(ALL).filter(inside), list = scored(visible).filter(inside);
  const at = linear(0, axes.length, left, right);
  const y = Object.fromEntries(axes.map(axis => {
    const values = AXIS[axis].values, place = new Map(values.map((v, k) => [v, values.length > 1 ? bottom - (bottom - top - 8) * k / (values.length - 1) : (top + bottom) / 2]));
    return [axis, i => (place.get(parts(axis, i)[0]) ?? bottom) + 7 * spread(i)];
  }));
  const score = linear(...padded(all.map(i => get.score(i))), bottom, top);
  const spots = i => [...axes.map((axis, k) => [at(k), y[axis](i)]), [at(axes.length), score(get.score(i))]];
  const path = i => `M${spots(i).map(([a, b]) => `${a.toFixed(1)} ${b.toFixed(1)}`).join("L")}`;
  const svg = canvas(place, width, height, `Lines of ${list.length} runs over the axes and the score`);
  if (list.length < all.length) mk(svg, "path", {class: "line off", d: all.map(path).join("")});
  // One path for each of a few bands of score: thousands of lines stay fast.
  const bands = 6, groups = Array.from({length: bands}, () => []);
  const [low, high] = score.ends;
  for (const i of list) groups[Math.min(bands - 1, Math.floor(bands * (get.score(i) - low) / (high - low)))].push(path(i));
  groups.forEach((group, k) => group.length && mk(svg, "path", {class: "line", d: group.join(""),
    style: `stroke: color-mix(in oklab, var(--heat) ${Math.round(20 + 80 * k / (bands - 1))}%, var(--low))`, opacity: Math.max(0.12, Math.min(0.8, 60 / list.length))}));
  axes.forEach((axis, k) => {
    mk(svg, "line", {class: "axis", x1: at(k), x2: at(k), y1: top - 6, y2: bottom + 6});
    mk(svg, "text", {x: at(k), y: 14, "text-anchor": "middle", class: "title"}, cut(words(axis), (right - left) / (axes.length + 0.5)));
    const values = AXIS[axis].values, every = Math.ceil(values.length / 22), room = (right - left) / (axes.length + 0.6);
    values.forEach((value, j) => {
      if (j % every) return;
      const place = values.length > 1 ? bottom - (bottom - top - 8) * j / (values.length - 1) : (top + bottom) / 2;
      valueLabel(svg, "lines", axis, value, at(k) + (k ? 5 : -6), place + 4, k ? "start" : "end", cut(value, k ? room - 12 : left - 8));
    });
  });
  mk(svg, "line", {class: "axis", x1: at(axes.length), x2: at(axes.length), y1: top - 6, y2: bottom + 6});
  mk(svg, "text", {x: at(axes.length), y: 14, "text-anchor": "middle", class: "title"}, "score");
  for (const tick of ticks([100 * low, 100 * high])) mk(svg, "text", {x: at(axes.length) + 6, y: score(tick / 100) + 4}, String(tick));
  const near = mk(svg, "path", {class: "line near"});
  let nearest = -1;
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect(), px = (event.clientX - box.left) * width / box.width, py = (event.clientY - box.top) * height / box.height;
    const k = Math.min(axes.length - 1, Math.max(0, Math.floor((px - at(0)) / (at(1) - at(0))))), t = (px - at(k)) / (at(1) - at(0));
    nearest = -1;
    let best = 8;
    for (const i of list) {
      const from = y[axes[k]](i), to = k + 1 < axes.length ? y[axes[k + 1]](i) : score(get.score(i)), gap = Math.abs(from + (to - from) * t - py);
      if (gap < best) { best = gap; nearest = i; }
    }
    near.setAttribute("d", nearest < 0 ? "" : path(nearest));
    if (nearest < 0) tip.hidden = true; else showTip(event, runText(nearest));
  });
  svg.addEventListener("pointerleave", () => { near.setAttribute("d", ""); tip.hidden = true; });
  svg.addEventListener("click", event => { if (nearest >= 0 && !event.target.closest("[data-axis]")) openRun(nearest); });
  return list.map(i => ({run: get.run(i), ...Object.fromEntries(DATA.axes.map(axis => [axis.name, get[axis.name](i)])), score: get.score(i)}));
});

// --- learning curves
const parsed = new Map();
function history(i) {
  if (!parsed.has(i)) {
    const found = {};
    for (const part of (get.history?.(i) || "").split(";").filter(Boolean)) {
      const at = part.lastIndexOf("=");
      found[part.slice(0, at)] = part.slice(at + 1).split(" ").map(Number);
    }
    parsed.set(i, found);
  }
  return parsed.get(i);
}
function curvePoints(i, part) {
  const found = history(i);
  return found.step && found[part] ? found.step.map((step, k) => [step, found[part][k]]).filter(([, v]) => isFinite(v)) : [];
}
function drawCurves(place, width, height, list, part, label, colour) {
  const curves = list.map(i => [i, curvePoints(i, part)]).filter(([, values]) => values.length > 1);
  const svg = canvas(place, width, height, label), left = 52, right = width - 14, bottom = height - 36;
  if (!curves.length) { mk(svg, "text", {x: 8, y: 30}, "No run that is shown has this curve."); return []; }
  const x = linear(...padded(curves.flatMap(([, v]) => v.map(p => p[0])), 0), left, right);
  const y = linear(...padded(curves.flatMap(([, v]) => v.map(p => p[1]))), bottom, 8);
  for (const tick of ticks(y.ends, 5)) {
    mk(svg, "line", {class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick)});
    mk(svg, "text", {x: left - 6, y: y(tick) + 4, "text-anchor": "end"}, short(tick));
  }
  for (const tick of ticks(x.ends)) mk(svg, "text", {x: x(tick), y: bottom + 16, "text-anchor": "middle"}, short(tick));
  mk(svg, "text", {x: (left + right) / 2, y: bottom + 32, "text-anchor": "middle", class: "title"}, "step");
  for (const [i, values] of curves) mk(svg, "polyline", {class: "curve", points: values.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" "),
    style: `stroke: ${colour(i)}`, "data-run": i});
  return curves.flatMap(([i, values]) => values.map(([step, value]) => ({run: get.run(i), part, step, value})));
}
chart("curves", (place, width) => {
  const part = $("#curve-part").value, several = DATA.tasks.length > 1;
  const list = visible.filter(i => (!several || state.task === DATA.tasks[0] || onTask(i)) && get.history?.(i));
  const shown = list.length > MOST_CURVES ? list.filter((_, k) => k % Math.ceil(list.length / MOST_CURVES) === 0) : list;
  $("#curve-note").textContent = shown.length < list.length ? `${shown.length} of ${list.length} runs are drawn, evenly chosen; filter to see others.` : "";
  return drawCurves(place, width, 300, shown, part, `Curves of ${part}, ${shown.length} runs`, runColour);
});
