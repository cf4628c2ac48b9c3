"""config.json of hub models that no table has, from a server of our own that answers as the hub."""

import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from helpers import in_the_hubs_cache, save_encoder
from studies import study_dict, write_study

from kd.cli.main import main
from kd.encoders.facts import encoder
from kd.runtime.errors import Transient, UserError
from kd.study.grid import load_grid

COMMIT = "0123456789" * 4
CONFIG = {
    "model_type": "bert", "num_hidden_layers": 5, "hidden_size": 320, "num_attention_heads": 5,
    "intermediate_size": 1000, "vocab_size": 31000, "max_position_embeddings": 256,
    "hidden_dropout_prob": 0.1, "architectures": ["BertForMaskedLM"],
}  # fmt: skip
GPT = {"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "architectures": ["GPT2LMHeadModel"]}
LLAMA = CONFIG | {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
T5 = {"model_type": "t5", "is_encoder_decoder": True}
VIT = {k: v for k, v in CONFIG.items() if k not in ("vocab_size", "architectures")}
FILES = {"good": CONFIG, "gpt": GPT, "llama": LLAMA, "t5": T5, "vit": VIT | {"model_type": "vit"}}
# What the hub answers, with the header X-Error-Code.
ERRORS = {
    "gated": (403, "GatedRepo"),
    "missing": (401, "RepoNotFound"),
    "weights": (404, "EntryNotFound"),
}


class Hub(BaseHTTPRequestHandler):
    """The part of the hub that hf_hub_download asks."""

    asked: list[str] = []  # noqa: RUF012

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        self.asked.append(f"{self.command} {self.path}")
        _, _, name, _, revision, *_ = self.path.split("/")
        if name in FILES and revision not in ("main", COMMIT):
            self.send_response(404)
            self.send_header("X-Error-Code", "RevisionNotFound")
        elif name in ERRORS:
            status, code = ERRORS[name]
            self.send_response(status)
            self.send_header("X-Error-Code", code)
        else:
            content = json.dumps(FILES[name]).encode()
            self.send_response(200)
            self.send_header("ETag", f'"{name}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)
            return
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A server, and an empty cache."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    Hub.asked.clear()
    encoder.cache_clear()
    yield server
    server.shutdown()
    server.server_close()
    encoder.cache_clear()


def test_an_unknown_id_is_fetched_once_and_then_read_from_the_cache(hub, tmp_path, monkeypatch):
    teachers, base = {"mine": {"model": "org/good"}}, {"student": "2L-320", "task": "rte"}
    path = write_study(tmp_path, study_dict(teachers=teachers, base=base))
    run = next(iter(load_grid(path).runs.values()))
    found = run.teacher.encoder
    assert (found.arch, str(found.shape), found.vocabulary) == ("bert", "5L-320-5h-1000", 31000)
    assert (found.positions, found.dropout, found.revision) == (256, True, "main")
    assert Hub.asked and all("/org/good/resolve/main/config.json" in line for line in Hub.asked)
    # The same id as with the shape in the study, which needs no network.
    given = {"mine": {"model": "org/good", "shape": "5L-320-5h-1000", "arch": "bert"}}
    other = write_study(tmp_path, study_dict(teachers=given, base=base), "other.yaml")
    assert next(iter(load_grid(other).runs.values())).id == run.id
    # A job, on a node without network, and without huggingface_hub.
    Hub.asked.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code = f"""import sys
from kd.cli.main import main
assert main(["runs", {str(path)!r}]) == 0
assert not {{"huggingface_hub", "torch"}} & set(sys.modules)"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)
    assert encoder("org/good", COMMIT, None, "bert").shape == found.shape
    assert not Hub.asked


@pytest.mark.parametrize(
    ("model", "revision", "message"),
    [
        ("org/gated", "main", r"org/gated is gated: accept its terms at http.*hf auth login"),
        ("org/missing", "main", r"org/missing: http.* has no model of this name, or it is private"),
        ("org/weights", "main", r"org/weights \(revision main\) has no config.json"),
        ("org/good", "v9", r"org/good: revision: found 'v9', which http.* does not have"),
        ("org/gpt", "main", r"config.json: architectures: found GPT2LMHeadModel .*generates text"),
        ("org/llama", "main", r"architectures: found LlamaForCausalLM \(model_type llama\)"),
        ("org/t5", "main", r"is_encoder_decoder: found True; a decoder has no place here"),
        ("org/vit", "main", r"config.json: vocab_size: missing; is this an encoder\?"),
        ("a b//c", "main", r"found 'a b//c', allowed: a hub id such as OWNER/NAME, or a folder"),
    ],
)
def test_each_obstacle_has_its_sentence(hub, model, revision, message):
    with pytest.raises(UserError, match=message):
        encoder(model, revision, None, "bert")


def test_offline_it_says_what_to_do(hub, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"HF_HUB_OFFLINE switches the network off: run `kd plan`"):
        encoder("org/good", "main", None, "bert")
    assert not Hub.asked
    study = study_dict(teachers={"mine": {"model": "org/good"}})
    assert main(["plan", str(write_study(tmp_path, study))]) == 2
    error = capsys.readouterr().err
    assert "teachers.mine: org/good is neither a folder nor a model" in error
    assert "shape: LAYERSL-HIDDEN-HEADSh-FFN and arch: MODEL_TYPE" in error


def test_a_hub_that_does_not_answer_is_a_sentence_too(hub, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the library's attempts
    hub.shutdown()
    hub.server_close()
    with pytest.raises(Transient, match=r"could not be asked for its config.json .*try again with"):
        encoder("org/good", "main", None, "bert")


def test_a_model_that_was_downloaded_before_needs_no_network(tmp_path, monkeypatch):
    """Whatever loaded it; `org/name` with all its files."""
    folder = save_encoder(tmp_path / "model", "distilbert")
    commit = in_the_hubs_cache(folder, tmp_path, monkeypatch)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    encoder.cache_clear()
    for revision in ("main", commit):
        found = encoder("org/name", revision, None, "bert")
        assert (found.arch, found.identity[1]) == ("distilbert", ("revision", revision))
