"""Paths in a study mean one thing, wherever a command is started: beside the study file."""

import os

import pytest
from model_files import write_encoder
from studies import study_dict, write_study

from kd.cli.main import main
from kd.encoders import facts
from kd.runtime.errors import UserError
from kd.study.grid import load_grid
from kd.study.located import located_files

HEADER = "index\tsentence1\tsentence2\tlabel\n"
ROWS = "0\ta b\tc\tentailment\n1\td\te f\tnot_entailment\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder for the study, and another one to work in."""
    facts.encoder.cache_clear()
    for name in ("studies", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "studies"


def one_run(path):
    (run,) = load_grid(path).runs.values()
    return run


def study(place, model="google-bert/bert-base-uncased", **changes):
    base = {"student": "2L-16-2h-32", "task": "rte", "knowledge": "logits"}
    base |= changes.pop("base", {})
    content = study_dict(
        teachers={"t": {"model": str(model)}}, base=base, axes={"seed": [1]}, **changes
    )
    return write_study(place, content)


def write_glue(folder):
    (folder / "RTE").mkdir(parents=True)
    for split in ("train", "dev"):
        (folder / "RTE" / f"{split}.tsv").write_text(HEADER + ROWS)


@pytest.mark.parametrize("model", ["./encoder", "encoder", "../studies/encoder", "{task}er"])
def test_a_folder_beside_the_study(place, model):
    write_encoder(place / "encoder")
    write_encoder(place / "rteer")
    run = one_run(study(place, model))
    name = "rteer" if "{" in model else "encoder"
    assert run.teacher.encoder.location == str(place / name)


def test_the_study_may_be_named_in_any_way(place, monkeypatch):
    write_encoder(place / "encoder")
    path = study(place, "encoder")
    found = {one_run(path).id, one_run(os.path.relpath(path)).id}
    monkeypatch.chdir(place)
    found |= {one_run("study.yaml").id, one_run("./study.yaml").id}
    assert len(found) == 1


@pytest.mark.parametrize("model", ["./encoder", "encoder"])
def test_a_folder_of_the_working_directory_alone_is_refused(place, capsys, model):
    """Nor is it taken for a hub id: transformers would load the folder."""
    write_encoder(place.parent / "elsewhere/encoder")
    assert main(["plan", str(study(place, model))]) == 2
    error = capsys.readouterr().err
    assert f"teachers.t.model: found '{model}', which is in the working directory" in error
    assert "write ../elsewhere/encoder" in error and error.count("\n") == 1
    assert one_run(study(place, "../elsewhere/encoder")).teacher.encoder.shape.hidden == 16


def test_what_is_missing_is_named_where_it_was_looked_for(place, capsys):
    main(["plan", str(study(place, "../models/none"))])
    assert f"'{place.parent / 'models/none'}': no such folder" in capsys.readouterr().err
    main(["plan", str(study(place, data={"source": "tsv", "path": "glue"}))])
    assert f"data.path: found '{place / 'glue'}', which is no folder" in capsys.readouterr().err


def test_a_long_path_is_named_whole(place, capsys):
    """It is there to be found: a path with its middle left out cannot be."""
    main(["plan", str(study(place, "../" + "deep-folder/" * 12 + "none"))])
    assert f"{place.parent}/{'deep-folder/' * 12}none'" in capsys.readouterr().err


def test_a_hub_id_stays_one(place):
    assert one_run(study(place, base={"student": "6L-768"})).teacher.encoder.revision == "main"


def test_data_beside_the_study(place):
    write_glue(place / "glue")
    data = {"source": "tsv", "path": "glue"}
    path = study(place, data=data, base={"student": "6L-768"})
    assert load_grid(path).study.data["path"] == str(place / "glue")
    (place / "glue").rename(place.parent / "elsewhere/glue")
    with pytest.raises(UserError, match=r"data\.path: found 'glue', which is in the working"):
        load_grid(path)


@pytest.mark.parametrize("model", ["./donor", "donor", "./d{layers}L-{hidden}", "a@b/donor"])
def test_a_pretrained_start_beside_the_study(place, model):
    write_encoder(place / "encoder")
    for name in ("donor", "d2L-16", "a@b/donor"):
        write_encoder(place / name)
    run = one_run(study(place, "encoder", base={"init": f"pretrained:{model}"}))
    name = model.replace("{layers}", "2").replace("{hidden}", "16").removeprefix("./")
    assert run.donor is not None and run.donor.location == str(place / name)
    assert run.labels["init"] == model, "tables say what the study says"


def test_a_pretrained_start_in_the_working_directory_alone(place):
    write_encoder(place / "encoder")
    write_encoder(place.parent / "elsewhere/donor")
    path = study(place, "encoder", base={"init": "pretrained:./donor"})
    with pytest.raises(UserError, match=r"init pretrained:\./donor: found '\./donor', which is in"):
        load_grid(path)


def test_only_what_the_user_wrote_is_a_pattern(tmp_path):
    folder = tmp_path / "run[12]"
    for name in (folder, tmp_path / "run1"):
        name.mkdir()
        for file in ("a.txt", "b.txt", "c[0].txt", "c0.txt"):
            (name / file).write_text("text")
    path = folder / "study.yaml"

    def found(pattern):
        return [os.path.relpath(file, folder) for file in located_files(pattern, "files", path)]

    assert found("a.txt") == ["a.txt"]
    assert found("[ab].txt") == found("../run?12]/[ab].txt") == ["a.txt", "b.txt"]
    assert found("c[0].txt") == ["c[0].txt"], "it is there under this name"
    assert found(f"{tmp_path}/run1/[ab].txt") == ["../run1/a.txt", "../run1/b.txt"]
    assert found("../*/a.txt") == ["../run1/a.txt", "a.txt"]
    assert found("../run1/**") == [
        f"../run1/{name}" for name in ("a.txt", "b.txt", "c0.txt", "c[0].txt")
    ]
    with pytest.raises(UserError, match=r"files\[0\]: no file is named like .*x\*"):
        found("x*")
    with pytest.raises(UserError, match=r"files\[0\]: found '\*\*\.txt', allowed: \*\* as a whole"):
        found("**.txt")
