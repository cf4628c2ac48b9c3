"""The examples run as they stand, on tiny models."""

import importlib.util
import shutil
from pathlib import Path

import pytest
from helpers import save_encoder

ROOT = Path(__file__).parents[1]


def example(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"examples/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def models(tmp_path):
    """A teacher, and a student that knows the same words."""
    teacher = save_encoder(tmp_path / "teacher", "bert")
    shutil.copytree(teacher, tmp_path / "student")
    return str(teacher), str(tmp_path / "student")


def test_the_plain_loop_lowers_its_loss(models):
    losses = example("plain_loop").main(*models, epochs=8)
    assert len(losses) == 8 and losses[-1] < losses[0]


def test_the_trainer_saves_a_student(models, tmp_path):
    pytest.importorskip("accelerate", reason="accelerate: not installed")
    loss = example("with_trainer").main(*models, str(tmp_path / "out"), epochs=2)
    assert loss > 0 and (tmp_path / "out/model.safetensors").is_file()
    assert (tmp_path / "out/tokenizer.json").is_file()


@pytest.mark.parametrize("name", ["plain_loop", "with_trainer"])
def test_the_page_shows_how_to_start_it(name):
    text = (ROOT / f"examples/{name}.py").read_text()
    assert f"python examples/{name}.py TEACHER STUDENT" in text
