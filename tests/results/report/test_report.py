"""The report is one file that says what was run, what came of it and what is missing."""

import json
import re
import zlib
from html.parser import HTMLParser

import pytest
from browser import Browser
from fake_runs import grid, write

from kd.results.figures.draw import write_figures
from kd.results.report.cost_rows import cost
from kd.results.report.explore import explorer
from kd.results.report.findings import effects, headlines, winners
from kd.results.report.log_ends import TOTAL as LOGS
from kd.results.report.log_ends import log_ends
from kd.results.report.page import (
    design,
    environment_of,
    has_log,
    missing,
    write_report,
)
from kd.results.statistics.effects import variance
from kd.results.tables.write import write_tables
from kd.study.paths import log_file

SCORES = {"logits": [0.60, 0.61, 0.65], "logits+hidden": [0.62, 0.64, 0.66]}
STUDY = """\
study: hidden-or-not
question: Do hidden states <add> anything?
teachers: {bert-base: {model: google-bert/bert-base-uncased}}
base: {student: 6L-768, task: rte, init: teacher-uniform, learning_rate: 5e-5}
axes: {knowledge: [logits, logits+hidden], seed: [1, 2, 3]}
"""


@pytest.fixture
def frame():
    return grid(
        lambda c: SCORES[c["knowledge"]][int(c["seed"]) - 1],
        knowledge=["logits", "logits+hidden"],
        seed=["1", "2", "3"],
    )


@pytest.fixture(scope="module")
def browser():
    browser = Browser()
    yield browser
    browser.close()


class Counter(HTMLParser):
    """Counts tags and collects whatever would be loaded from elsewhere."""

    def __init__(self):
        super().__init__()
        self.tags, self.loads, self.open = {}, [], []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.loads += [v for k, v in attrs if k == "src" or (k == "href" and tag != "a")]
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def report(frame, folder, study=STUDY):
    source = write(frame, folder / "runs.csv")
    write_tables(source, folder / "tables")
    write_figures(source, folder / "figures", ["difference", "effect-knowledge", "width-depth"])
    (folder / "study.yaml").write_text(study)
    out = folder / "report.html"
    write_report(source, folder / "tables", folder / "figures", out, folder / "study.yaml")
    return out.read_text(encoding="utf-8")


def data_of(html):
    """The data of the page's charts."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html)
    return json.loads(text)


def test_report_is_whole_and_self_contained(frame, tmp_path):
    error = "RuntimeError: <script>alert(1)</script> & more"
    frame.loc[0, ["status", "score", "error"]] = ["failed", None, error]
    html = report(frame, tmp_path)
    parser = Counter()
    parser.feed(html)
    assert not parser.open
    assert parser.tags["img"] == 2 == len(parser.loads)
    assert html.index("<b>difference.</b>") < html.index("<b>effect-knowledge.</b>")
    assert "Each mark averages 3 runs" in html  # in the caption
    assert "not drawn: - width-depth: one student" in html
    assert all(load.startswith("data:image/png;base64,") for load in parser.loads)
    assert parser.tags["script"] == 3  # data, charts and its own, not the one in the error line
    assert "RuntimeError: &lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in html
    assert "Do hidden states &lt;add&gt; anything?" in html
    assert "<h1>hidden-or-not</h1>" in html
    assert "6 runs: 5 done, 1 failed." in html
    assert "Not done: 1 of 6 runs" in html
    assert '<a href="tables/scores.tex">scores.tex</a>' in html
    assert '<a href="figures/difference.pdf">' in html
    assert 'name="viewport"' in html and "@media print" in html
    assert html == report(frame, tmp_path)


def test_the_answer_comes_first_and_readers_of_any_kind_find_their_way(frame, tmp_path):
    frame.loc[0, ["status", "score", "error"]] = ["failed", None, "RuntimeError: boom"]
    frame.loc[1, ["status", "score"]] = ["missing", None]
    html = report(frame, tmp_path)
    assert html.index('id="answers"') < html.index('id="findings"') < html.index('id="figures"')
    assert "one seed gives no measure of chance. <code>logits+hidden</code> has the highest" in html
    assert "<main>" in html and 'aria-label="Sections"' in html and "prefers-color-scheme" in html
    assert not re.search(r"<th(?![^>]*scope=)[ >]", html), "a title without scope"
    scrolled = re.findall(r'<div class="scroll[^>]*>', html)
    assert scrolled and all('tabindex="0"' in tag and "aria-label" in tag for tag in scrolled)
    for anchor in re.findall(r'href="#([\w-]+)"', html):
        assert f'id="{anchor}"' in html
    assert 'href="#lost"' in html
    assert 'alt="What each choice adds to its control' in html
    # A log only where something was started: 1 failed, 4 done, 1 missing.
    assert html.count('/log/distil.log">log</a>') == 1
    assert data_of(html)["logged"] == [1, 0, 1, 1, 1, 1]


def test_steps_before_a_run_leave_it_no_log_of_its_own():
    assert has_log("failed", "RuntimeError: boom") and has_log("done", "")
    assert not has_log("missing", "")
    assert not has_log("failed", "teacher deep-1a2b: RuntimeError: boom")
    assert not has_log("failed", "tokens-1a of rte: no space")


def test_ends_of_logs_are_whole_lines_within_a_budget(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret-of-a-hub")
    monkeypatch.setattr("kd.results.report.log_ends.TOTAL", 4000)
    for i in range(20):
        for step in ("distil", "evaluate"):
            log = log_file(tmp_path / f"run-{i}", step)
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("".join(f"{step} step {n} with secret-of-a-hub\n" for n in range(99)))
    ids, statuses = [f"run-{i}" for i in range(21)], ["failed"] + ["done"] * 19 + ["missing"]
    failed, *done, missing = log_ends(tmp_path, ids, statuses)
    assert failed.endswith("evaluate step 98 with ***") and failed.startswith("evaluate step ")
    assert all(end.endswith("distil step 98 with ***") for end in done) and missing == ""
    assert sum(map(len, [failed, *done])) <= 4000 and len(failed) > 3 * len(done[0]) > 0
    assert all(re.match(r"distil step \d+ with", end) for end in done), "no part of a line"


def test_a_report_before_the_figures_does_not_say_that_there_are_none(frame, tmp_path):
    source = write(frame, tmp_path / "runs.csv")
    write_report(source, tmp_path / "tables", tmp_path / "figures", tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The figures have not been drawn yet." in html and "no axis varies" not in html


def test_report_without_study_file_is_named_after_its_folder(frame, tmp_path):
    folder = tmp_path / "mapping"
    folder.mkdir()
    source = write(frame, folder / "runs.csv")
    write_report(source, folder / "tables", folder / "figures", folder / "report.html")
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "<h1>mapping</h1>" in html and "Not done" not in html


def test_headline_compares_the_best_cell_with_its_control(frame):
    assert headlines(frame) == [
        "rte (accuracy): the best of 2 cells is knowledge `logits+hidden` with 64.0 ± 2.0 (3). "
        "Against its control (`logits`): +2.0 points (95 % interval, not corrected: −0.5 to +4.5; "
        "not significant; 3 pairs). The teacher scores 70.0, the constant answer 50.0."
    ]


def test_headline_where_the_control_wins_or_is_not_there(frame):
    frame.loc[frame.knowledge == "logits", "score"] = 0.9
    assert "It is the control (`logits`) itself." in headlines(frame)[0]
    assert "The study has no control." in headlines(frame[frame.knowledge != "logits"])[0]
    assert headlines(frame.assign(score=None, status="failed").astype({"score": float})) == [
        "rte: no run has finished."
    ]


def test_a_best_cell_that_lost_a_run_is_named_with_its_number(frame):
    frame.loc[3:, "score"] = 0.9
    frame.loc[3, ["score", "status"]] = [None, "missing"]
    (text,) = headlines(frame)
    assert "the best of 2 cells is knowledge `logits+hidden` with 90.0 ± 0.0 (2/3)" in text
    assert "the best complete cell is knowledge `logits` with 62.0 ± 2.6 (3)" in text
    assert "2 pairs" in text
    assert winners(frame) == [
        "Of the 1 cell other than the control (`logits`), 1 is significantly better than it and "
        "none is worse, after correction for 1 comparison of a cell with its control. (The answers "
        "compare values of one axis, over all settings, and correct for all pairs of values.)"
    ]


def test_cells_that_never_ran_are_no_rivals_and_ties_are_named(frame):
    frame.loc[3:, ["score", "status"]] = [None, "failed"]
    assert "the only cell that ran is knowledge `logits`" in headlines(frame)[0]
    tied = grid(lambda c: 0.6, knowledge=["logits", "logits+hidden"], seed=["1", "2", "3"])
    assert "tied with knowledge `" in headlines(tied)[0]


def test_cells_that_equal_their_control_in_each_seed_are_not_called_unfinished():
    same = grid(lambda c: 0.6, knowledge=["logits", "logits+hidden"], seed=["1", "2", "3"])
    (text,) = winners(same)
    assert text.endswith("the differences are the same with every seed.")


def test_a_task_with_results_comes_before_an_average_without():
    frame = grid(lambda c: 0.6 if c["task"] == "cola" else None, task=["rte", "cola"],
                 knowledge=["logits", "logits+hidden"], seed=["1", "2"])  # fmt: skip
    told = " ".join(winners(frame))
    assert "finished every task" not in told
    data = explorer(frame, frame, [False] * len(frame), "x.yaml", "runs")
    assert data["tasks"] == ["cola", "average", "rte"]


def test_only_costs_in_which_students_differ_are_charted():
    """Times of runs of one student differ by chance."""
    frame = grid(lambda c: 0.6, knowledge=["logits", "logits+hidden"], seed=["1", "2"])
    frame["latency_seconds"] = [0.01, 0.02, 0.03, 0.04]
    assert explorer(frame, frame, [False] * len(frame), "x.yaml", "runs")["costs"] == []


def test_design_and_environment(frame):
    rows = design(frame)
    assert rows[0] == ("knowledge", "logits, logits+hidden", True)
    assert rows[1] == ("seed", "1, 2, 3", True)
    assert ("epochs", "3", False) in rows
    assert ("device", "cpu (6 runs)") in environment_of(frame)
    assert ("threads", "2 (6 runs)") in environment_of(frame)
    elsewhere = environment_of(frame.assign(evaluated_on="H100"))
    assert ("device", "cpu (6 runs)") in elsewhere
    assert ("evaluated on", "H100 (6 runs)") in elsewhere


def test_cost_and_what_is_missing(frame):
    frame.loc[0, ["status", "error", "score", "train_seconds"]] = ["failed", "boom", None, None]
    assert dict(cost(frame))["training"] == "0.14 hours in all, teachers not counted"
    assert dict(cost(frame))["runs"] == "5 of 6 done"
    assert not any("stage" in what or "assistant" in what for what, _ in cost(frame))
    done = frame.index[frame["status"] == "done"]
    staged = frame.assign(train_seconds=100.0, stage_id="", stage_seconds=float("nan"))
    staged.loc[done[:4], ["stage_id", "stage_seconds"]] = ["one", 1200.0]
    found = dict(cost(staged))
    assert found["stage"] == "0.33 hours, once for the 4 runs that start from it"
    assert found["a run with its stage"].startswith("the stage is 75.0 % of its cost where these")
    assert found["a run with its stage"].endswith("92.3 % where a run has it alone")
    taught = frame.assign(train_seconds=100.0, teacher_id="", teacher_chain_seconds=float("nan"))
    taught.loc[done[:4], ["teacher", "teacher_id", "teacher_chain_seconds"]] = ["ta", "a-1", 1200.0]
    assert dict(cost(taught))["teacher assistant ta"] == (
        "0.33 hours to train it and the students before it, once for 4 runs: 75.0 % of a run's "
        "cost where these runs share it, and 92.3 % where a run has it alone"
    )
    assert len(cost(taught)) == len(cost(frame)) + 1
    (row,) = missing(frame)
    assert (row["status"], row["error"], row["count"]) == ("failed", "boom", 1)


def test_effects_in_words():
    frame = grid(lambda c: 0.6 + 0.04 * (c["student"][0] == "6") + 0.001 * int(c["seed"]),
                 student=["3L-384-12h-1536", "6L-768-12h-3072"], mapping=["first", "last"],
                 seed=["1", "2"])  # fmt: skip
    first, second = effects(frame)
    assert first.startswith("Of the variance in scores within tasks, student explains 99.9 %")
    assert (
        "seeds and residual noise account for 0.1 %" in first
        or "seeds and residual noise account for 0.0 %" in first
    )
    assert second == "No significant interaction was found (tested: student × mapping)."
    one = effects(frame[frame["seed"] == "1"])
    assert len(one) == 1 and "with one seed nothing can be tested" in one[0]


def test_parts_that_add_up_to_more_than_all_are_not_set_side_by_side():
    """With runs lost, the spread of seeds within cells holds part of what the axis explains."""
    frame = grid(lambda c: 0.6 + 0.01 * int(c["seed"]), knowledge=["none", "logits"],
                 mapping=["first"], seed=["1", "2", "3"])  # fmt: skip
    frame = frame[~((frame["knowledge"] == "none") & (frame["seed"] == "1"))]
    frame = frame[~((frame["knowledge"] == "logits") & (frame["seed"] == "3"))]
    frame.loc[frame["knowledge"] == "logits", "score"] += 0.02
    table = variance(frame)
    assert table["share"].sum() > 1
    assert "seeds and residual noise account for" not in effects(frame)[0]
    assert "nothing can be tested" not in effects(frame)[0]


def test_one_at_a_time_says_nothing_of_interactions():
    """Cells that vary one axis each from a base cannot show what two of them do together."""
    cells = grid(lambda c: 0.6 + 0.001 * int(c["seed"]) + 0.01 * (c["mapping"] == "last"),
                 mapping=["first", "last"], temperature=["1", "2"], seed=["1", "2", "3"],
                 task=["rte", "cola"])  # fmt: skip
    base = (cells["mapping"] == "first") | (cells["temperature"] == "1")
    found = effects(cells[base].reset_index(drop=True))
    assert found and "temperature × task" in found[1]
    assert not any("mapping × temperature" in text for text in found)


@pytest.mark.slow
def test_the_data_of_the_charts_are_the_numbers_of_the_tables(frame, tmp_path):
    frame.loc[0, ["status", "score", "error"]] = ["failed", None, "</script><b>&"]
    html = report(frame, tmp_path)
    data = data_of(html)
    assert html.count("</script>") == 3, "no text of the record ends the script"
    assert data["columns"]["error"]["v"][data["columns"]["error"]["c"][0]] == "</script><b>&"
    assert data["columns"]["score"]["n"] == [None, 0.61, 0.65, 0.62, 0.64, 0.66]
    assert data["columns"]["task"] == {"all": "rte"}
    assert [axis["name"] for axis in data["axes"]] == ["knowledge", "seed"]
    control, other = data["effects"]["knowledge"]["marks"]
    assert control[:4] == ["logits", "control", "rte", 0.63] and control[6:] == [2, 3]
    assert other[:4] == ["logits+hidden", "main", "rte", 0.64]
    low, high = other[4:6]
    assert low == pytest.approx(0.64 - 4.3027 * 0.02 / 3**0.5, abs=1e-4)  # t of 2 degrees, sd 0.02
    assert high == pytest.approx(0.64 + 4.3027 * 0.02 / 3**0.5, abs=1e-4)
    assert {row["term"]: row["share"] for row in data["importance"]}.keys() >= {"knowledge"}


def test_maps_compare_like_with_like():
    """As the figures of two axes: a row for each tile, with the runs it averages."""
    runs = grid(lambda c: 0.6 + 0.1 * (c["mapping"] == "last") + 0.01 * (c["student"][0] == "6"),
                mapping=["first", "last"], student=["3L-384-12h-1536", "6L-768-12h-3072"],
                seed=["1", "2"])  # fmt: skip
    (found,) = explorer(runs, runs, [True] * len(runs), "s.yaml", "runs")["maps"]
    assert sorted(found["axes"]) == ["mapping", "student"]
    marks = {(a, b): (mean, n) for a, b, _, mean, _, _, n, _ in found["marks"]}
    assert sorted(marks.values()) == [(0.6, 2), (0.61, 2), (0.7, 2), (0.71, 2)]


def test_a_study_without_axes_or_scores_has_a_report_too(frame, browser, tmp_path):
    lost = frame[:1].assign(status="failed", error="no", score=None).astype({"score": float})
    source = write(lost.assign(history=""), tmp_path / "runs.csv")
    write_report(source, tmp_path / "tables", tmp_path / "figures", tmp_path / "report.html")
    browser.open(tmp_path / "report.html")
    assert browser.run("document.querySelectorAll('#runs tbody tr').length") == 1
    source = write(grid(lambda c: 0.6, seed=["1", "2"]), tmp_path / "runs.csv")
    write_report(source, tmp_path / "tables", tmp_path / "figures", tmp_path / "report.html")
    browser.open(tmp_path / "report.html")
    curves = "document.querySelectorAll('#curves .mark-line path').length"
    assert browser.run(f"drawn.then(() => {curves})") == 2, "seeds alone need no colour"
    assert browser.problems == []


@pytest.mark.slow
def test_charts_of_equal_scores_single_points_and_controls_that_an_axis_cannot_affect(
    browser, tmp_path
):
    runs = grid(lambda c: 0.61374, knowledge=["logits", "logits+hidden"],
                mapping=["first", "last"], seed=["1", "2"])  # fmt: skip
    source = write(runs.assign(history="step=50;loss=1.5"), tmp_path / "runs.csv")
    write_report(source, tmp_path / "tables", tmp_path / "figures", tmp_path / "report.html")
    browser.size(1280, 900)
    browser.open(tmp_path / "report.html")
    label = "[...document.querySelectorAll('#{} [role=button]')].find(b => b.textContent == '{}')"
    low, high = (
        browser.run(f"drawn.then(() => {label.format('lines', value)}.getBoundingClientRect().y)")
        for value in ("first", "last")
    )
    assert low > high + 100, "values have their places where all scores are equal"
    texts = "[...document.querySelectorAll('#{} text')].map(t => t.textContent)"
    assert "61.374" in browser.run(texts.format("effect"))
    assert "1.5" in browser.run(texts.format("curves"))
    assert browser.run("document.querySelectorAll('#curves .mark-symbol path').length") == len(runs)
    browser.run("s = $('#effect-axis'); s.value = 'mapping'; s.dispatchEvent(new Event('change'))")
    browser.run("drawn.then(() => 1)")
    browser.click(label.format("effect", "logits"))
    assert browser.run("$('#kept').textContent") == "2 of 6 runs"
    assert browser.problems == []


@pytest.mark.slow
def test_costs_have_the_cells_that_an_axis_does_not_divide_on_some_task(browser, tmp_path):
    """Temperature has no effect on stsb: its one run there is that of both temperatures."""
    sizes = ["2L-768-12h-3072", "6L-768-12h-3072"]
    runs = grid(lambda c: 0.6, task=["rte", "stsb"], student=sizes, temperature=["1", "4"])
    idle = (runs["task"] == "stsb") & (runs["temperature"] == "4")
    runs = runs[~idle].assign(temperature=lambda f: f["temperature"].where(f["task"] == "rte", "-"))
    runs.iloc[-1, runs.columns.get_loc("status")] = "missing"  # 6 layers on stsb
    runs.iloc[-1, runs.columns.get_loc("score")] = None
    source = write(runs, tmp_path / "runs.csv")
    write_report(source, tmp_path / "tables", tmp_path / "figures", tmp_path / "report.html")
    browser.open(tmp_path / "report.html")
    browser.run("drawn.then(() => 1)")
    marks = "[...document.querySelectorAll('#cost .mark-symbol path')]"
    cells = browser.run(f"{marks}.map(m => m.getAttribute('aria-label'))")
    assert cells == [f"{sizes[0]} · {t}" for t in ("1", "4")]
    note = browser.run("document.querySelector('#cost-note').textContent")
    assert note == "2 cells are not shown: they have no finished run on some task."
    browser.run("saved = []; save = (name, content) => saved.push(content)")
    browser.run("document.querySelector('#cost .tools button').click()")
    assert ",0.6," in browser.run("saved[0].split('\\n')[1]"), "a fraction, as in runs.csv"
    assert browser.problems == []


@pytest.fixture
def page(browser, frame, tmp_path):
    """The page of six runs, one of which failed, in a browser."""
    frame.loc[0, ["status", "score", "error"]] = ["failed", None, "RuntimeError: out of memory"]
    folder = tmp_path / "results/studies/hidden-or-not"
    folder.mkdir(parents=True)
    for run in frame["run"][:2]:
        log = log_file(tmp_path / "results/runs" / run, "distil")
        log.parent.mkdir(parents=True)
        log.write_text("distilling: 6 steps\rdistilling: 6/6 loss 0.5\nthe <last> line\n")
    report(frame, folder)
    browser.size(1280, 900)
    browser.open(folder / "report.html")
    browser.run("drawn.then(() => 1)")
    yield browser
    assert browser.problems == []


ASK = "f = document.querySelector('#filter'); f.value = '{}'; f.dispatchEvent(new Event('input'))"
ROWS = "document.querySelectorAll('#runs tbody tr').length"


def test_the_table_of_runs_sorts_and_filters(page):
    column = "[...document.querySelectorAll('#runs tbody tr')].map(r => r.cells[4].textContent)"
    title = "[...document.querySelectorAll('#runs th button')].find(b => b.textContent == 'score')"
    page.run(f"{title}.click()")
    assert page.run(column) == ["61.00", "62.00", "64.00", "65.00", "66.00", ""]
    page.run(f"{title}.click()")
    assert page.run(column) == ["66.00", "65.00", "64.00", "62.00", "61.00", ""]
    assert page.run(f"{title}.parentElement.getAttribute('aria-sort')") == "descending"
    page.run(ASK.format("LOGITS failed"))
    assert page.run(ROWS) == 1
    assert page.run("document.querySelector('#shown').textContent") == "1 of 6 runs"
    for asked, count in (("", 6), ("seed:1", 2), ("seed:1 knowledge:logits", 1)):
        page.run(ASK.format(asked))
        assert page.run(ROWS) == count, asked
    page.run(ASK.format(""))
    assert page.run("[...document.querySelectorAll('#runs a')].map(a => a.getAttribute('href'))[0]"
                    ).startswith("../../runs/rte-")  # fmt: skip
    whole = "[...document.images].every(i => i.complete && i.naturalWidth > 0)"
    assert page.run(whole) and page.run("document.images.length") == 2


def test_a_click_in_a_chart_filters_the_others_and_the_table(page):
    rows = "drawn.then(() => views.effect).then(view => view.data('rows'))"
    dots = f"{rows}.then(rows => rows.filter(row => row.kind == 'run' && row.shown).length)"
    assert page.run(dots) == 5
    labels = "[...document.querySelectorAll('#effect [role=button]')]"
    label = f"{labels}.find(b => b.textContent == 'logits')"
    page.click(label)
    assert page.run(dots) == 2
    assert page.run(ROWS) == 3
    assert page.run(f"{label}.getAttribute('aria-pressed')") == "true"
    assert "3 of 6 runs" in page.run("document.querySelector('#kept').textContent")
    page.run("document.querySelector('#told .clear').click()")
    assert page.run(ROWS) == 6
    page.run(f"{label}.focus()")
    page.press("Enter")
    assert page.run(f"drawn.then(() => {ROWS})") == 3, "the keyboard does the same"
    focused = "new Promise(done => setTimeout(() => done(document.activeElement.textContent)))"
    assert page.run(f"drawn.then(() => {focused})") == "logits", "and keeps its place"


def test_a_mark_names_its_run_and_opens_it(page):
    dot = "document.querySelector('#effect .mark-symbol path')"
    page.move(dot)
    run = page.run(f"{dot}.getAttribute('aria-label')")
    assert run in page.run("document.querySelector('#vg-tooltip-element').innerText")
    page.click(dot)
    sheet = "document.querySelector('#run')"
    assert page.run(f"{sheet}.open")
    text = page.run(f"{sheet}.textContent")
    assert page.run(f"{sheet}.querySelector('.id code').textContent") == run
    assert f"snakemake results/runs/{run}/metrics.json --forcerun distil --configfile" in text
    assert f"results/runs/{run}/log/distil.log" in text and "learning_rate" in text
    curves = f"{sheet}.querySelectorAll('svg .mark-line path').length"
    assert page.run(f"drawn.then(() => {curves})") == 2  # loss and hard
    page.move(f"{sheet}.querySelector('svg .mark-line path')")
    assert run in page.run(f"{sheet}.querySelector('#vg-tooltip-element.visible').innerText")
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    page.send("Emulation.setEmulatedMedia", features=[dark])
    fill = f"{sheet}.querySelector('svg text').getAttribute('fill')"
    change = "new Promise(done => requestAnimationFrame(done))"
    assert page.run(f"{change}.then(() => drawn).then(() => {fill})") == "#e6e6e6"
    page.send("Emulation.setEmulatedMedia", features=[dark | {"value": "light"}])
    page.run(f"{sheet}.querySelector('#close').click()")
    assert not page.run(f"{sheet}.open")
    page.run("document.querySelector('.bad [data-run]').click()")
    assert "out of memory" in page.run(f"{sheet}.textContent"), "from the list of what is not done"
    end = page.run(f"{sheet}.querySelector('pre.log').textContent")
    assert end.splitlines() == [
        "distilling: 6 steps", "distilling: 6/6 loss 0.5", "the <last> line"
    ]  # fmt: skip


@pytest.mark.slow
def test_each_chart_can_be_saved_as_data_and_picture(page):
    page.run("saved = []; save = (name, content, kind) => saved.push([name, content, kind])")
    buttons = "[...document.querySelectorAll('.chart .tools button')]"
    page.run(f"Promise.all({buttons}.map(b => b.onclick())).then(() => 1)")
    names = page.run("saved.map(s => s[0])")
    for name in (
        "effect.csv",
        "importance.csv",
        "lines.csv",
        "curves.csv",
        "effect.svg",
        "lines.png",
    ):
        assert name in names
    content = page.run("saved.find(s => s[0] == 'effect.csv')[1]")
    head, first, *_ = content.split("\n")
    assert head == "knowledge,series,task,mean,low,high,n,planned"
    assert first.startswith("logits,control,rte,0.63")
    svg = "saved.find(s => s[0] == 'effect.svg')[1]"
    assert page.run(f"{svg}.startsWith('<svg') && {svg}.includes('fill=\"#0072b2\"')")


@pytest.mark.slow
def test_page_at_phone_width_and_in_print(browser, frame, tmp_path):
    report(frame, tmp_path)
    browser.size(390, 844, mobile=True)
    browser.open(tmp_path / "report.html")
    assert browser.run("document.documentElement.scrollWidth") == 390, "the page scrolls sideways"
    assert browser.run("getComputedStyle(document.body).fontSize") == "16px"
    browser.media("print")
    assert browser.run("getComputedStyle(document.querySelector('nav')).display") == "none"
    for part in ("#runs", ".explore"):
        assert browser.run(f"getComputedStyle(document.querySelector('{part}')).display") == "none"
    assert browser.pdf().startswith(b"%PDF")
    browser.media("")
    assert browser.problems == []


@pytest.mark.slow
def test_a_report_of_five_thousand_runs_is_below_15_mb(browser, tmp_path):
    """Without its figures, which take 5.5 MB where there are eight tasks, and the ends of logs."""
    tasks = ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte"]
    students = [
        f"{n}L-{h}-12h-{4 * h}" for n, h in ((2, 384), (4, 384), (6, 384), (3, 768), (6, 768))
    ]
    knowledge = ["logits+embedding", "logits+hidden", "logits+attention"]
    runs = grid(
        lambda c: 0.6 + zlib.crc32(repr(c).encode()) / 2**36,
        task=tasks, student=students, knowledge=knowledge, mapping=["first", "last", "uniform"],
        seed=[str(i) for i in range(14)],
    )  # fmt: skip
    points = " ".join(f"{zlib.crc32(b'%d' % i) / 2**32:.4g}" for i in range(16))
    steps = " ".join(str(100 * i) for i in range(1, 17))
    history = f"step={steps};loss={points};hard={points};logits:kl={points};hidden:mse={points}"
    runs["history"] = [history.replace("0.1", f"0.{i}") for i in range(len(runs))]
    source = write(runs, tmp_path / "runs.csv")
    write_report(source, tmp_path / "tables", tmp_path / "figures", tmp_path / "report.html")
    size = (tmp_path / "report.html").stat().st_size
    assert len(runs) == 5040 and size + 5.5e6 + LOGS < 15e6, size
    browser.open(tmp_path / "report.html")
    assert browser.run(ROWS) == 100 and browser.problems == []
    rows = browser.run("drawn.then(() => views.curves).then(view => view.data('rows'))")
    assert len({row["run"] for row in rows}) == 60
    assert len({row["axes"]["seed"] for row in rows}) > 7, "not those of one seed"
    browser.run(ASK.format("seed:1"))
    assert "360 of 5,040 runs" in browser.run("document.querySelector('#shown').textContent")
