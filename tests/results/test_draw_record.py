"""`kd draw`: which records a folder has, and that one is drawn from its folder alone."""

from pathlib import Path

import pytest

from kd.results.draw_record import draw_record, records_in
from kd.runtime.errors import UserError

ROOT = Path(__file__).parents[2]


def test_the_records_of_a_folder(tmp_path):
    for name in ("b", "a/c", "b/drawn"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "runs.csv").touch()
    assert records_in(tmp_path) == [tmp_path / "a/c", tmp_path / "b"]
    assert records_in(tmp_path / "b") == [tmp_path / "b"]
    with pytest.raises(UserError, match=r"no record; looked for runs\.csv"):
        records_in(tmp_path / "a/nothing")


@pytest.mark.slow
def test_the_record_of_the_demo_is_drawn(tmp_path):
    for name in ("runs.csv", "study.yaml"):
        (tmp_path / name).write_bytes((ROOT / "results/records/demo" / name).read_bytes())
    report = draw_record(tmp_path)
    assert report.read_text().count("data:image/png") >= 2
    for name in ("summary.csv", "tables/scores.md", "figures/score-parameters.png"):
        assert (report.parent / name).is_file()
    assert "21 of 21 runs" in (report.parent / "guideline.md").read_text()
