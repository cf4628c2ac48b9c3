"""Study files are found by path and by name; a name that is nearly right is named."""

import pytest

from kd.runtime.errors import UserError
from kd.study.find import find_study, namesakes


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config/studies").mkdir(parents=True)
    (tmp_path / "mapping").mkdir()
    for path, name in {
        "mine.yaml": "my-question",
        "config/studies/matching.yaml": "matching",
        "config/studies/broken.yaml": "'quoted'  # a comment\naxes: [",
    }.items():
        (tmp_path / path).write_text(f"# first\nstudy: {name}\n")
    (tmp_path / "environment.yml").write_text("name: none\n")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("mine.yaml", "mine.yaml"),
        ("mine", "mine.yaml"),
        ("my-question", "mine.yaml"),
        ("matching", "config/studies/matching.yaml"),
        ("quoted", "config/studies/broken.yaml"),
        ("mapping", "mapping"),  # a folder: whoever reads it says so
    ],
)
def test_a_path_or_a_name(text, path):
    assert str(find_study(text)) == path


@pytest.mark.parametrize("text", ["maching", "config/studies/maching.yaml", "../matchin.yml"])
def test_the_nearest_is_named(text):
    with pytest.raises(UserError, match=r"no such study file .did you mean config/studies/matchi"):
        find_study(text)


def test_what_is_near_nothing_gets_the_list_of_studies():
    with pytest.raises(UserError, match=r"study files here: mine.yaml, config/studies/b") as error:
        find_study("zz")
    assert "environment" not in str(error.value)


def test_a_name_of_two_files_is_refused(files):
    (files / "other.yaml").write_text("study: matching\n")
    with pytest.raises(UserError, match=r"names 2 study files: other.yaml, config/studies/matchi"):
        find_study("matching")


def test_nothing_here(files, monkeypatch):
    monkeypatch.chdir(files / "mapping")
    with pytest.raises(UserError, match=r"^matching: no such study file$"):
        find_study("matching")


def test_namesakes_stand_beside_each_other(files):
    (files / "copy.yml").write_text("study: my-question\n")
    (files / ".#mine.yaml").symlink_to("user@host.1:2")  # an editor's lock
    assert namesakes(files / "mine.yaml", "my-question") == [files / "copy.yml"]
