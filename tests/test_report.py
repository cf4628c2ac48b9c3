"""The report is one file that says what was run, what came of it and what is missing."""

import re
from html.parser import HTMLParser

import pytest
from fake_runs import grid, write

from kd.report import design, environment_of, headlines, run_table, write_report
from kd.tables import write_tables

SCORES = {"logits": [0.60, 0.61, 0.65], "logits+hidden": [0.62, 0.64, 0.66]}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8) + (1400).to_bytes(4) + bytes(9)  # enough of its header
STUDY = """\
study: hidden-or-not
question: Do hidden states <add> anything?
axes: {knowledge: [logits, logits+hidden]}
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
    (folder / "figures").mkdir(exist_ok=True)
    for name in ("axis-knowledge", "difference-to-control"):
        (folder / f"figures/{name}.png").write_bytes(PNG)
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
    assert html.count("<img class=wide") == 2
    assert html.index("<b>difference-to-control.</b>") < html.index("<b>axis-knowledge.</b>")
    assert all(load.startswith("data:image/png;base64,") for load in parser.loads)
    assert "http" not in re.sub(r"base64,[^\"]*", "", html)
    assert parser.tags["script"] == 1  # its own, not the one in the error line
    assert "RuntimeError: &lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in html
    assert "Do hidden states &lt;add&gt; anything?" in html
    assert "<h1>hidden-or-not</h1>" in html
    assert "6 runs: 5 done, 1 failed." in html
    assert "Not done: 1 of 6 runs" in html
    assert "Also as scores.csv, scores.md, scores.tex." in html
    assert 'name="viewport"' in html and "@media print" in html
    assert html == report(frame, tmp_path)


def test_report_without_study_file_is_named_after_its_folder(frame, tmp_path):
    folder = tmp_path / "mapping"
    folder.mkdir()
    source = write(frame, folder / "runs.csv")
    write_report(source, folder / "tables", folder / "figures", folder / "report.html")
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "<h1>mapping</h1>" in html and "Not done" not in html


def test_headline_compares_the_best_cell_with_its_control(frame):
    assert headlines(frame) == [
        "rte (accuracy): the best of 2 cells is knowledge logits+hidden, with 64.0 ± 2.0 (3); "
        "paired difference to its control (logits) +2.0 ± 1.0 (3 pairs, 95 % interval "
        "−0.5 to +4.5, which includes 0). Teacher 70.0, majority class 50.0."
    ]


def test_headline_where_the_control_wins_or_is_not_there(frame):
    frame.loc[frame.knowledge == "logits", "score"] = 0.9
    assert "it is a control (logits) itself" in headlines(frame)[0]
    assert "no control to be compared with" in headlines(frame[frame.knowledge != "logits"])[0]
    assert headlines(frame.assign(score=None, status="failed").astype({"score": float})) == [
        "rte: none of 6 runs has finished."
    ]


def test_headline_prefers_a_complete_cell(frame):
    frame.loc[3:, "score"] = 0.9
    frame.loc[3, ["score", "status"]] = [None, "missing"]
    assert "knowledge logits, with 62.0 ± 2.6 (3)" in headlines(frame)[0]


def test_design_run_table_and_environment(frame):
    rows = design(frame)
    assert rows[0] == ("knowledge", "logits, logits+hidden", True)
    assert rows[1] == ("seed", "1, 2, 3", True)
    assert ("epochs", "3", False) in rows
    header, runs = run_table(frame)
    assert header == ["run", "status", "knowledge", "seed", "score", "seconds", "objective"]
    assert runs[3][1:] == ["done", "logits+hidden", "1", "62.00", "100", "logits+hidden"]
    frame["threads"] = frame["threads"].astype(str)
    for name in ("kd_version", "transformers_version", "python_version", "data_source"):
        frame[name] = ""
    frame[["data_fingerprint", "split"]] = ""
    assert ("device", "cpu (6 runs)") in environment_of(frame)
