"""`kd new`: what it writes is a study that can be planned."""

import pytest
import yaml
from model_files import write_encoder

from kd.axes.kinds import LABELS, SCORES
from kd.cli.main import main
from kd.study.check import load_study
from kd.study.grid import load_grid

ROWS = ["text,kind,points,pair"] + [f'"Film {i}, good",{i % 3},{i / 7:.2f},b{i}' for i in range(60)]


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "My Data.csv").write_text("\n".join(ROWS) + "\n")
    return tmp_path


def new(*arguments):
    return main(["new", *arguments])


def test_from_a_file_to_a_plan(data, capsys):
    assert new("My Data.csv", "--text", "text", "--label", "kind", "--out", "first.yaml") == 0
    told = capsys.readouterr().out
    assert "My Data.csv: 54 train, 6 dev examples, 3 labels" in told
    assert "kd plan first.yaml" in told and "snakemake --configfile first.yaml" in told
    grid = load_grid(data / "first.yaml")
    assert not grid.pruned and len(grid.runs) == 27  # 3 students, 3 kinds of knowledge, 3 seeds
    assert main(["plan", "first.yaml"]) == 0
    assert "warning" not in capsys.readouterr().out


def test_scores_are_found(data):
    assert new("My Data.csv", "--text", "text", "pair", "--label", "points") == 0
    (task,) = yaml.safe_load((data / "My Data.yaml").read_text())["tasks"].values()
    assert task["regression"] == [0, 9] and task["text"] == ["text", "pair"]
    assert all(
        run.task_row.kind is SCORES for run in load_grid(data / "My Data.yaml").runs.values()
    )


def test_scores_of_the_dev_file_are_in_the_range(data):
    rows = [f"text {i},{i / 7 + 2:.3f}" for i in range(60)]
    (data / "sick.csv").write_text("\n".join(["text,points", *rows]) + "\n")
    (data / "dev.csv").write_text("text,points\nlow,-0.104\nhigh,12.5\n")
    assert new("sick.csv", "--dev", "dev.csv", "--text", "text", "--label", "points") == 0
    assert yaml.safe_load((data / "sick.yaml").read_text())["tasks"]["sick"]["regression"] == [
        -1,
        13,
    ]


@pytest.mark.parametrize(
    ("file", "name"),
    [("2024-01-15.csv", "2024-01-15"), ("2024.csv", "2024"), ("yes.csv", "yes"),
     ("null.csv", "null"), ("rte.csv", "my-rte")],
)  # fmt: skip
def test_any_file_names_a_study(data, file, name):
    (data / "My Data.csv").rename(data / file)
    assert new(file, "--text", "text", "--label", "kind") == 0
    study = load_study(data / file.replace("csv", "yaml"))
    assert study.name == name and name in study.tasks


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        (["--label", "tags", "--multi", "|"],
         {"from": "tags", "multi": True, "separator": "|"}),
        (["--label", "semi", "--multi"], {"from": "semi", "multi": True}),
        (["--label", "good", "long"], {"from": ["good", "long"], "multi": True}),
    ],
)  # fmt: skip
def test_an_example_has_any_number_of_labels(data, capsys, options, labels):
    tags = ["", "good", "long", "good|long"]
    rows = [
        f"Film {i},{tags[i % 4]},{tags[i % 4].replace('|', ';')},{i % 2},{i // 2 % 2}"
        for i in range(60)
    ]
    (data / "tags.csv").write_text("\n".join(["text,tags,semi,good,long", *rows]) + "\n")
    assert new("tags.csv", "--text", "text", *options) == 0
    assert "tags.csv: 54 train, 6 dev examples, 2 labels" in capsys.readouterr().out
    (task,) = yaml.safe_load((data / "tags.yaml").read_text())["tasks"].values()
    assert task["labels"] == labels and "label" not in task
    runs = load_grid(data / "tags.yaml").runs.values()
    assert all(run.task_row.kind is LABELS for run in runs)


def test_a_local_encoder_is_a_change_of_one_line(data):
    """As the comment in the file says; and the study lies in another folder than the data."""
    write_encoder(data / "model")
    (data / "studies").mkdir()
    out = data / "studies/mine.yaml"
    assert new("My Data.csv", "--text", "text", "--label", "kind", "--out", str(out)) == 0
    text = out.read_text().replace("google-bert/bert-base-uncased", "../model")
    out.write_text(text.replace("-768", "-16-2h-32"))
    assert next(iter(load_grid(out).runs.values())).teacher.encoder.location == str(data / "model")


def test_positions_and_a_dev_file(data):
    (data / "plain.csv").write_text("\n".join(ROWS[1:]) + "\n")
    columns = ["--text", "0", "--label", "1", "--no-header"]
    assert new("plain.csv", *columns, "--dev", "plain.csv", "--out", "a.yaml") == 0
    task = yaml.safe_load((data / "a.yaml").read_text())["tasks"]["a"]
    assert (task["text"], task["label"], task["dev"], task["header"]) == (0, 1, "plain.csv", False)


def test_a_copy_keeps_all_but_the_name(data):
    assert new("My Data.csv", "--text", "text", "--label", "kind", "--out", "first.yaml") == 0
    assert new("--from", "first", "--out", "second.yaml") == 0
    first, second = ((data / f"{name}.yaml").read_text() for name in ("first", "second"))
    assert second == first.replace("study: first", "study: second")
    assert [*load_grid(data / "second.yaml").runs] == [*load_grid(data / "first.yaml").runs]
    (data / "below").mkdir()  # from there the data lie elsewhere
    assert new("--from", "first", "--out", "below/third.yaml") == 0
    assert [*load_grid(data / "below/third.yaml").runs] == [*load_grid(data / "first.yaml").runs]


WRONG = {
    "My Data.csv --text txet --label kind": "column 'txet' is missing; .*did you mean text",
    "gone.csv --text text --label kind": "gone.csv: no such file",
    "My Data.csv --text text": "new: --label is missing: kd new DATA --text COLUMN --label COLUMN",
    "My Data.csv --text text --label kind --out there.yaml": "there.yaml: is there already",
    "My Data.csv --text text --label kind --out no/x.yaml": "the folder no is missing",
    "My Data.csv --from demo": "new: --from copies a study, so it takes no DATA",
    "--from demo --no-header": "new: --from copies a study, so it takes no --no-header",
    "My Data.csv --text text --label kind points --multi": "--multi is for one column",
    "--from gone": "gone: no such study file",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_mistake_writes_nothing(data, capsys, line):
    import re

    (data / "there.yaml").write_text("kept")
    before = sorted(data.rglob("*"))
    words = [word.replace("_", " ") for word in line.replace("My Data", "My_Data").split()]
    assert new(*words) == 2
    error = capsys.readouterr().err
    assert re.search(WRONG[line], error) and error.count("\n") == 1
    assert sorted(data.rglob("*")) == before and (data / "there.yaml").read_text() == "kept"
