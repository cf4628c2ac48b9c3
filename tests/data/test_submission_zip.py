"""The zip of a submission: its bytes, and what the check finds in broken ones."""

import zipfile

import pytest

from kd.axes.leaderboard import HEADER, SHEETS
from kd.data.submission import answer, problems, write_zip
from kd.runtime.errors import UserError

SMALL = {name: [3, 1] for name in SHEETS}  # numbers of the examples of small test sets


def answers():
    return {name: [(3, sheet.constant), (1, sheet.constant)] for name, sheet in SHEETS.items()}


def test_a_class_and_a_score_as_the_leaderboard_writes_them():
    assert answer(1, SHEETS["RTE.tsv"]) == "not_entailment"
    assert answer(2, SHEETS["AX.tsv"]) == "contradiction"
    assert answer(1, SHEETS["QQP.tsv"]) == "1"
    scores = [answer(value, SHEETS["STS-B.tsv"]) for value in (-0.3, 2.34567, 5.2)]
    assert scores == ["0.0000", "2.3457", "5.0000"]


def test_a_written_zip_is_right_and_equal_answers_give_equal_bytes(tmp_path):
    one, two = tmp_path / "one.zip", tmp_path / "two.zip"
    write_zip(one, answers())
    write_zip(two, answers())
    assert problems(one, SMALL) == [] and one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as archive:
        assert archive.namelist() == list(SHEETS)
        assert archive.read("RTE.tsv") == f"{HEADER}\n3\tentailment\n1\tentailment\n".encode()
    # Without the test sets, the official numbers of examples count.
    assert problems(one, {})[0] == "CoLA.tsv: found 2 examples, allowed: 1063"


def test_a_submission_of_constant_answers_is_right(tmp_path):
    sheets = SHEETS.items()
    files = {n: [(i, sheet.constant) for i in range(sheet.examples)] for n, sheet in sheets}
    write_zip(tmp_path / "a.zip", files)
    assert problems(tmp_path / "a.zip", {}) == []


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("RTE.tsv", None, "RTE.tsv: missing"),
        ("rte.tsv", "", "rte.tsv: no file of a submission, allowed: CoLA.tsv, "),
        ("RTE.tsv", "id\tlabel\n3\tentailment\n1\tentailment\n", "RTE.tsv, line 1: found 'id"),
        ("RTE.tsv", f"{HEADER}\n3\tentailment\n", "RTE.tsv: found 1 examples, allowed: 2"),
        (
            "RTE.tsv",
            f"{HEADER}\n1\tentailment\n3\tentailment\n",
            "RTE.tsv, line 2: index '1', allowed: 3",
        ),
        ("RTE.tsv", f"{HEADER}\n3\t0\n1\t1\n", "RTE.tsv, line 2: prediction '0', allowed: entail"),
        (
            "CoLA.tsv",
            f"{HEADER}\n3\tacceptable\n1\t1\n",
            "CoLA.tsv, line 2: prediction 'acceptable', allowed: 0, 1",
        ),
        ("STS-B.tsv", f"{HEADER}\n3\t5.1\n1\t2\n", "STS-B.tsv, line 2: prediction '5.1', allowed"),
        ("STS-B.tsv", f"{HEADER}\n3\tnan\n1\t2\n", "STS-B.tsv, line 2: prediction 'nan', allowed"),
        ("RTE.tsv", f"{HEADER}\n3 entailment\n1\tentailment\n", "RTE.tsv, line 2: found 1 col"),
        ("RTE.tsv", b"\xff\xfe", "RTE.tsv: not UTF-8 text"),
    ],
)
def test_what_the_check_finds(tmp_path, name, text, problem):
    path = tmp_path / "a.zip"
    write_zip(path, {n: rows for n, rows in answers().items() if n != name})
    if text is not None:
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(name, text)
    found = problems(path, SMALL)
    assert found[0].startswith(problem) and all(line.startswith(name) for line in found), found


def test_many_problems_of_a_file_are_counted(tmp_path):
    files = {name: [(3, "?"), (1, "?"), (4, "?"), (5, "?"), (6, "?")] for name in SHEETS}
    write_zip(tmp_path / "a.zip", files)
    found = problems(tmp_path / "a.zip", {name: [3, 1, 4, 5, 6] for name in SHEETS})
    assert found[3] == "CoLA.tsv: 2 more problems" and len(found) == 4 * len(SHEETS)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not whole", None])
def test_what_is_no_zip(tmp_path, content):
    path = tmp_path / "a.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.zip: not a readable zip"):
        problems(path, {})
