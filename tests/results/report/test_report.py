"""The report is one file that says what was run, what came of it and what is missing."""

import re
from html.parser import HTMLParser

import pytest
from browser import Browser
from fake_runs import grid, write

from kd.results.figures.draw import write_figures
from kd.results.report.findings import effects, headlines, winners
from kd.results.report.page import (
    cost,
    design,
    environment_of,
    has_log,
    missing,
    run_table,
    write_report,
)
from kd.results.statistics.effects import variance
from kd.results.tables.write import write_tables

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
    assert "http" not in re.sub(r"base64,[^\"]*", "", html)
    assert parser.tags["script"] == 1  # its own, not the one in the error line
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
    assert "Undecided: <code>logits+hidden</code> has the highest mean" in html
    assert "<main>" in html and 'aria-label="Sections"' in html and "prefers-color-scheme" in html
    assert not re.search(r"<th(?![^>]*scope=)[ >]", html), "a title without scope"
    scrolled = re.findall(r'<div class="scroll[^>]*>', html)
    assert scrolled and all('tabindex="0"' in tag and "aria-label" in tag for tag in scrolled)
    for anchor in re.findall(r'href="#([\w-]+)"', html):
        assert f'id="{anchor}"' in html
    assert 'href="#lost"' in html
    assert 'alt="What each choice adds to its control' in html
    # A log only where something was started: 1 failed (named twice), 4 done, 1 missing.
    assert html.count("log/distil.log") == 6
    assert f"{frame['run'].iloc[1]}/log/distil.log" not in html


def test_steps_before_a_run_leave_it_no_log_of_its_own():
    assert has_log("failed", "RuntimeError: boom") and has_log("done", "")
    assert not has_log("missing", "")
    assert not has_log("failed", "teacher deep-1a2b: RuntimeError: boom")
    assert not has_log("failed", "tokens-1a of rte: no space")


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
        "none is worse, after correction."
    ]


def test_cells_that_never_ran_are_no_rivals_and_ties_are_named(frame):
    frame.loc[3:, ["score", "status"]] = [None, "failed"]
    assert "the only cell that ran is knowledge `logits`" in headlines(frame)[0]
    tied = grid(lambda c: 0.6, knowledge=["logits", "logits+hidden"], seed=["1", "2", "3"])
    assert "tied with knowledge `" in headlines(tied)[0]


def test_design_run_table_and_environment(frame):
    rows = design(frame)
    assert rows[0] == ("knowledge", "logits, logits+hidden", True)
    assert rows[1] == ("seed", "1, 2, 3", True)
    assert ("epochs", "3", False) in rows
    header, runs = run_table(frame)
    assert header == ["run", "status", "knowledge", "seed", "score", "seconds", "objective"]
    assert runs[3]["cells"][1:] == ["done", "logits+hidden", "1", "62.00", "100", "logits+hidden"]
    assert ("device", "cpu (6 runs)") in environment_of(frame)
    assert ("threads", "2 (6 runs)") in environment_of(frame)
    elsewhere = environment_of(frame.assign(evaluated_on="H100"))
    assert ("device", "cpu (6 runs)") in elsewhere
    assert ("evaluated on", "H100 (6 runs)") in elsewhere


def test_cost_and_what_is_missing(frame):
    frame.loc[0, ["status", "error", "score", "train_seconds"]] = ["failed", "boom", None, None]
    assert dict(cost(frame))["training"] == "0.14 hours in all, teachers not counted"
    assert dict(cost(frame))["runs"] == "5 of 6 done"
    (row,) = missing(frame)
    assert (row["status"], row["error"], row["count"]) == ("failed", "boom", 1)


def test_effects_in_words():
    frame = grid(lambda c: 0.6 + 0.04 * (c["student"][0] == "6") + 0.001 * int(c["seed"]),
                 student=["3L-384-12h-1536", "6L-768-12h-3072"], mapping=["first", "last"],
                 seed=["1", "2"])  # fmt: skip
    first, second = effects(frame)
    assert first.startswith("Of the variance in scores within tasks, student explains 99.9 %")
    assert "seeds account for 0.1 %" in first or "seeds account for 0.0 %" in first
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
    assert "seeds account for" not in effects(frame)[0]
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


@pytest.fixture(scope="module")
def browser():
    browser = Browser()
    yield browser
    browser.close()


SHOWN = "[...document.querySelectorAll('#runs tbody tr')].filter(r => !r.hidden)"


@pytest.mark.browser
def test_page_in_a_browser(browser, frame, tmp_path):
    frame.loc[0, ["status", "score", "error"]] = ["failed", None, "RuntimeError: out of memory"]
    report(frame, tmp_path)
    browser.size(1280, 900)
    browser.open(tmp_path / "report.html")
    column = f"{SHOWN}.map(r => r.cells[4].textContent)"
    title = "[...document.querySelectorAll('#runs th button')].find(b => b.textContent == 'score')"
    browser.run(f"{title}.click()")
    assert browser.run(column) == ["61.00", "62.00", "64.00", "65.00", "66.00", ""]
    browser.run(f"{title}.click()")
    assert browser.run(column) == ["66.00", "65.00", "64.00", "62.00", "61.00", ""]
    assert browser.run(f"{title}.parentElement.getAttribute('aria-sort')") == "descending"
    ask = (
        "f = document.querySelector('#filter'); f.value = '{}'; f.dispatchEvent(new Event('input'))"
    )
    browser.run(ask.format("LOGITS failed"))
    assert browser.run(f"{SHOWN}.length") == 1
    assert browser.run("document.querySelector('#shown').textContent") == "1 of 6 runs"
    browser.run(ask.format(""))
    assert browser.run(f"{SHOWN}.length") == 6
    links = browser.run(
        "[...document.querySelectorAll('#runs a')].map(a => a.getAttribute('href'))"
    )
    assert len(links) == 12 and links[0].startswith("../../runs/rte-")
    browser.run(ask.format("seed:1"))
    assert browser.run(f"{SHOWN}.length") == 2
    browser.run(ask.format("seed:1 knowledge:logits"))
    assert browser.run(f"{SHOWN}.length") == 1
    browser.run(ask.format(""))
    whole = "[...document.images].every(i => i.complete && i.naturalWidth > 0)"
    assert browser.run(whole) and browser.run("document.images.length") == 2
    assert browser.problems == []


@pytest.mark.browser
def test_page_at_phone_width_and_in_print(browser, frame, tmp_path):
    report(frame, tmp_path)
    browser.size(390, 844, mobile=True)
    browser.open(tmp_path / "report.html")
    assert browser.run("document.documentElement.scrollWidth") == 390, "the page scrolls sideways"
    assert browser.run("getComputedStyle(document.body).fontSize") == "16px"
    browser.media("print")
    assert browser.run("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert browser.run("getComputedStyle(document.querySelector('#runs')).display") == "none"
    assert browser.pdf().startswith(b"%PDF")
    browser.media("")
    assert browser.problems == []
