"""Building, loading and exporting encoders."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import ARCHS, EVERY_ARCH, SHAPE, VOCABULARY, tiny_config, tiny_inputs, tiny_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
)

from kd.axes.architectures import ARCHS as KINDS
from kd.axes.architectures import SCRATCH_ARCHS
from kd.axes.pretrained import SCRATCH
from kd.axes.shapes import Shape
from kd.axes.tasks import TASKS, Source
from kd.data.generated import vocabulary
from kd.encoders.build import (
    align_labels,
    build_random,
    encoder_config,
    load_encoder,
    load_finetuned,
    load_weights,
    longest_input,
    shape_of,
    shaped_config,
    start_at_mean,
)
from kd.encoders.capture import Capture, encoder_layers
from kd.encoders.facts import Encoder, encoder
from kd.encoders.save import save_model
from kd.encoders.tokenizer import encoder_tokenizer
from kd.runtime.errors import UserError

every_arch = pytest.mark.parametrize("arch", ARCHS)
every_kind = pytest.mark.parametrize("arch", KINDS)
DEEP = Shape(layers=5, hidden=24, heads=3, ffn=40)
SMALL = Shape(layers=2, hidden=12, heads=2, ffn=20)  # heads of 6 out of the teacher's of 8


def local_encoder(folder: Path, shape: Shape = SHAPE) -> Encoder:
    return Encoder(str(folder), None, "bert", shape, VOCABULARY, None, ())


def logits(model: PreTrainedModel, seed: int = 0) -> Tensor:
    with torch.no_grad():
        return model.eval()(**tiny_inputs(model, seed=seed)).logits


# --- configs and sizes ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nomic_bert", "eurobert"])
def test_sizes_of_heads_follow_the_shape(kind):
    """What configs say of heads beside their number. A student as wide as its teacher keeps it."""
    given = AutoConfig.for_model(kind, vocab_size=VOCABULARY, pad_token_id=0)
    teacher = shaped_config(given, DEEP)
    for shape in (SMALL, Shape(layers=2, hidden=24, heads=2, ffn=40)):
        student = build_random(shaped_config(teacher, shape)).eval()
        assert student(input_ids=torch.ones(1, 5, dtype=torch.long)).logits.shape == (1, 2)
        queries = [w for n, w in student.named_parameters() if n.endswith("q_proj.weight")]
        assert {tuple(w.shape) for w in queries} <= {(shape.hidden, shape.hidden)}
    teacher.head_dim = 16  # of heads that are wider than their share
    assert shaped_config(teacher, replace(DEEP, layers=2)).head_dim == 16


ACTIVATION = {"distilbert": "activation", "modernbert": "hidden_activation"}


@every_kind
def test_student_config_has_the_shape_and_keeps_the_rest(arch):
    activation = {ACTIVATION.get(arch, "hidden_act"): "relu"}
    teacher = tiny_config(arch, DEEP, num_labels=3, **activation)
    student = shaped_config(teacher, SMALL)
    assert shape_of(student) == SMALL, f"{arch}: {shape_of(student)}"
    assert shape_of(teacher) == DEEP, f"{arch}: the teacher's config was changed"
    kept = {"vocab_size", "num_labels", "max_position_embeddings", "pad_token_id", *activation}
    for name in kept:
        assert getattr(student, name) == getattr(teacher, name), f"{arch}: {name} changed"
    model = build_random(student)
    layers = encoder_layers(model)
    assert len(layers) == (1 if arch == "albert" else SMALL.layers)
    assert feed_forward_size(layers[0]) == SMALL.ffn, f"{arch}: another feed-forward size"
    assert logits(model).shape == (3, 3), f"{arch}: the student does not run"


def feed_forward_size(layer: torch.nn.Module) -> int:
    """Inputs of the layer's last map, back from the feed-forward size to the hidden size."""
    last = [module for module in layer.modules() if isinstance(module, torch.nn.Linear)][-1]
    return last.in_features


@every_kind
@pytest.mark.parametrize("layers", [1, 2, 7, 12])
def test_a_student_of_any_depth_trains_and_is_loaded_again(arch, layers, tmp_path):
    """From the config of a teacher of 5 layers: shallower and deeper, narrower and wider."""
    shape = Shape(layers, 32, 2, 48) if layers > 2 else Shape(layers, 12, 2, 20)
    torch.manual_seed(0)
    student = build_random(shaped_config(tiny_config(arch, DEEP), shape))
    optimiser = torch.optim.SGD(student.parameters(), lr=0.1)
    before = logits(student)
    loss = student.train()(**tiny_inputs(student)).logits.square().sum()
    loss.backward()
    optimiser.step()
    trained = logits(student)
    assert not torch.equal(trained, before), f"{arch}: a step changes nothing"
    student.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert shape_of(loaded.config) == shape
    assert torch.equal(logits(loaded), trained), f"{arch}: loaded, it computes something else"


@pytest.mark.parametrize("arch", ["electra", "albert"])
@pytest.mark.parametrize(("own", "wanted"), [(24, 12), (16, 16)])
def test_embeddings_follow_only_where_they_were_as_wide_as_the_encoder(arch, own, wanted):
    teacher = tiny_config(arch, embedding_size=own)
    assert shaped_config(teacher, SMALL).embedding_size == wanted


@pytest.mark.parametrize(
    ("teacher", "layers", "wanted"),
    [
        ("gllgl", 2, "gl"),
        ("gllgl", 8, "gllgllgl"),
        ("gggg", 6, "gggggg"),
        ("g", 3, "ggg"),
        ("glglg", 1, "g"),
        ("gllgll", 7, "gllgllg"),
    ],
)
def test_modernberts_local_layers_go_on_as_in_the_teacher(teacher, layers, wanted):
    names = {"g": "full_attention", "l": "sliding_attention"}
    config = tiny_config("modernbert", Shape(len(teacher), 24, 3, 40))
    config.layer_types = [names[letter] for letter in teacher]
    student = shaped_config(config, Shape(layers, 24, 3, 40))
    assert student.layer_types == [names[letter] for letter in wanted]


def test_albert_has_no_more_groups_than_layers():
    config = tiny_config("albert", num_hidden_groups=3)
    assert shaped_config(config, Shape(2, 24, 3, 40)).num_hidden_groups == 2
    assert shaped_config(config, Shape(5, 24, 3, 40)).num_hidden_groups == 3


@pytest.mark.parametrize("arch", SCRATCH_ARCHS)
def test_a_scratch_encoder_has_the_shape_and_no_dropout(arch):
    config = encoder_config(encoder(SCRATCH, "main", "2L-16-2h-32", arch))
    assert (config.model_type, shape_of(config)) == (arch, Shape(2, 16, 2, 32))
    config.vocab_size, config.pad_token_id = VOCABULARY, 0
    model = build_random(config)
    assert torch.equal(logits(model), model.train()(**tiny_inputs(model)).logits), "dropout"


def test_the_tokenizer_of_scratch():
    made = encoder(SCRATCH, "main", "2L-16-2h-32", "distilbert")
    tokenizer = encoder_tokenizer(made)
    assert len(tokenizer) == 5 + len(vocabulary()), "not one entry a word"
    one, two = vocabulary()[:2]
    pair = tokenizer(f"{one} {two}", f"{two} {one} {one} no-such-word")
    words = tokenizer.convert_ids_to_tokens(pair["input_ids"])
    assert words == ["[CLS]", one, two, "[SEP]", two, one, one, "[UNK]", "[SEP]"]
    assert pair["token_type_ids"] == [0, 0, 0, 0, 1, 1, 1, 1, 1]


@every_kind
def test_the_longest_input_is_what_the_table_of_positions_holds(arch):
    config = tiny_config(arch)
    longest = longest_input(config)
    model = build_random(config).eval()
    ids = torch.full((1, longest), 7)
    with torch.no_grad():
        assert model(input_ids=ids).logits.shape == (1, 2)
        if model.base_model.embeddings.__dict__.get("_modules", {}).get("position_embeddings"):
            with pytest.raises((IndexError, RuntimeError)):
                model(input_ids=torch.full((1, longest + 1), 7))


# --- loading ----------------------------------------------------------------------------------


def test_load_encoder_is_seeded_and_of_the_stated_dtype():
    config = tiny_config()
    scratch = Encoder(SCRATCH, None, "bert", SHAPE, None, None, ())
    first, again, other = (load_encoder(scratch, config, "float32", seed) for seed in (1, 1, 2))
    assert torch.equal(logits(first), logits(again)), "one seed, two models"
    assert not torch.equal(logits(first), logits(other)), "the seed is inert"


def test_load_encoder_replaces_a_head_for_other_labels(tmp_path):
    saved = tiny_model("bert", labels=2)
    saved.save_pretrained(tmp_path)
    loaded, again, other = (
        load_encoder(local_encoder(tmp_path), tiny_config(labels=3), "float32", seed)
        for seed in (1, 1, 2)
    )
    head = loaded.classifier.weight
    assert head.shape == (3, SHAPE.hidden)
    assert torch.equal(head, again.classifier.weight), "the new head is not seeded"
    assert not torch.equal(head, other.classifier.weight), "the seed of the new head is inert"
    for name, tensor in saved.base_model.state_dict().items():
        assert torch.equal(loaded.base_model.state_dict()[name], tensor), f"{name} was not loaded"


def test_load_encoder_of_another_shape_or_place_is_a_sentence(tmp_path):
    tiny_model("bert").save_pretrained(tmp_path)
    with pytest.raises(UserError, match="its shape is 3L-24-3h-40, not 5L-24-3h-40"):
        load_encoder(local_encoder(tmp_path, DEEP), tiny_config(), "float32", seed=0)
    with pytest.raises(UserError, match=r"nothing.*could not be loaded") as error:
        encoder_config(local_encoder(tmp_path / "nothing"))
    assert "\n" not in str(error.value)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(UserError, match="could not be loaded"):
        load_encoder(local_encoder(tmp_path), tiny_config(), "float32", seed=0)


def test_load_finetuned_of_a_damaged_folder_is_a_sentence(tmp_path):
    tiny_model("bert").save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UserError, match="missing or damaged") as error:
            load_finetuned(folder)
        assert str(folder) in str(error.value) and "\n" not in str(error.value)


def test_weights_that_transformers_saves_under_other_names_are_found(tmp_path):
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = AutoConfig.for_model("nomic_bert", vocab_size=99, intermediate_size=64, **size)
    model = AutoModelForSequenceClassification.from_config(config)
    model.save_pretrained(tmp_path)
    assert load_file(tmp_path / "model.safetensors").keys() != model.state_dict().keys()
    loaded = load_finetuned(tmp_path).state_dict()
    assert all(torch.equal(loaded[name], weight) for name, weight in model.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@every_kind
def test_exported_models_load_as_transformers_loads_them(arch, dtype, tmp_path):
    tiny_model(arch, labels=3).to(dtype).save_pretrained(tmp_path)
    state = torch.get_rng_state()
    found = load_finetuned(tmp_path, dtype)
    assert torch.equal(torch.get_rng_state(), state), "it drew random numbers"
    right = AutoModelForSequenceClassification.from_pretrained(tmp_path, dtype=dtype)
    assert not found.training and found.name_or_path == str(tmp_path)
    assert found.config.to_dict() == right.config.to_dict()
    for tensors in (PreTrainedModel.named_parameters, PreTrainedModel.named_buffers):
        one, other = dict(tensors(found)), dict(tensors(right))
        assert one.keys() == other.keys()
        for name, tensor in one.items():
            assert tensor.dtype == other[name].dtype and torch.equal(tensor, other[name]), name


def test_loaded_weights_are_aligned_as_those_of_a_training(tmp_path):
    """Without AVX-512, products of unaligned weights with one row differ in the last bit."""
    model = tiny_model("bert")
    model.save_pretrained(tmp_path)
    for length in range(0, 64, 8):  # of the file's header, which decides where the weights lie
        metadata = {"format": "pt", "pad": length * "-"}
        save_file(model.state_dict(), tmp_path / "model.safetensors", metadata)
        plain = AutoModelForSequenceClassification.from_pretrained(tmp_path)
        if any(weight.data_ptr() % 64 for weight in plain.parameters()):
            break
    else:
        pytest.skip("transformers aligns the weights that it loads")
    encoder, _ = load_weights(local_encoder(tmp_path), tiny_config(), "float32")
    for loaded in (load_finetuned(tmp_path), encoder):
        weights = dict(loaded.named_parameters())
        assert not [name for name, weight in weights.items() if weight.data_ptr() % 64]
        assert all(torch.equal(weights[k], v) for k, v in model.named_parameters())


def test_pickled_weights_are_not_loaded(tmp_path):
    model = tiny_model("bert")
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="missing or damaged"):
        load_finetuned(tmp_path)
    with pytest.raises(UserError, match="could not be loaded"):
        load_encoder(local_encoder(tmp_path), tiny_config(), "float32", seed=0)


def test_another_kind_of_encoder_than_the_study_says_is_a_sentence(tmp_path):
    """A hub model that is not in the table is taken for what the study says, until it is loaded."""
    tiny_config("electra").save_pretrained(tmp_path)
    with pytest.raises(UserError, match="model_type electra, not bert; give it arch: electra"):
        encoder_config(local_encoder(tmp_path))
    AutoConfig.for_model("squeezebert").save_pretrained(tmp_path)
    with pytest.raises(UserError, match="model_type squeezebert, not bert; give a folder"):
        encoder_config(local_encoder(tmp_path))


# --- labels -----------------------------------------------------------------------------------


@every_kind
def test_labels_are_put_into_the_official_order(arch):
    model, task = tiny_model(arch, labels=3), TASKS["mnli"]
    before = logits(model)
    align_labels(model, task, {0: "CONTRADICTION", 1: "Entailment", 2: "neutral"})
    assert torch.equal(logits(model), before[:, [1, 2, 0]]), f"{arch}: wrong permutation"


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("mnli", ["entailment", "neutral", "contradiction"]),
        ("mnli", ["LABEL_0", "LABEL_1", "LABEL_2"]),
        ("stsb", ["LABEL_0"]),
    ],
)
def test_labels_in_order_or_without_names_are_left_alone(task, names):
    model = tiny_model(labels=len(names))
    before = logits(model)
    align_labels(model, TASKS[task], dict(enumerate(names)))
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("rte", ["NOT ENTAILMENT", "ENTAILMENT"]),
        ("sst2", ["POSITIVE", "NEGATIVE"]),
        ("mrpc", ["equivalent", "not_equivalent"]),
        ("rte", ["LABEL_1", "LABEL_0"]),
    ],
)
def test_published_names_are_understood(task, names):
    model = tiny_model(labels=2)
    before = logits(model)
    align_labels(model, TASKS[task], dict(enumerate(names)))
    assert torch.equal(logits(model), before.flip(-1))


def test_names_that_are_not_understood_are_refused():
    model = tiny_model(labels=3)
    names = {0: "a", 1: "b", 2: "c"}
    with pytest.raises(UserError, match="id2label: found a, b, c, which do not say"):
        align_labels(model, TASKS["mnli"], names)
    before = logits(model)
    align_labels(model, TASKS["mnli"], names, (2, 0, 1))
    assert torch.equal(logits(model), before[:, [2, 0, 1]]), "what the study states"


def test_hyphens_in_label_names():
    model = tiny_model(labels=2)
    before = logits(model)
    align_labels(model, TASKS["rte"], {0: "not-entailment", 1: "entailment"})
    assert torch.equal(logits(model), before.flip(-1))


# --- export -----------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", EVERY_ARCH)
def test_exported_folder_is_plain(arch, tmp_path):
    """After a training with captured attention, nothing of it is left in the folder."""
    model = tiny_model(arch, labels=3).eval()
    model.config.id2label = {0: "yes", 1: "no", 2: "maybe"}
    capture = Capture(model, {("query", 1), ("hidden", 2), ("logits", 0)})
    inputs = tiny_inputs(model)
    with torch.no_grad():
        wanted = capture(**inputs)["logits", 0]
    capture.close()
    source, out = tmp_path / "tokens", tmp_path / "model"
    encoder_tokenizer(encoder(SCRATCH, "main", "2L-16-2h-32", arch)).save_pretrained(source)
    model.config.save_pretrained(source)
    save_model(model, source, out)

    names = {path.name for path in out.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not [n for n in names if n.endswith((".bin", ".pt", ".pth", ".pkl", ".py"))], names
    for path in out.glob("*.json"):
        assert "capture" not in path.read_text(), f"{path.name} names our attention"
    config = json.loads((out / "config.json").read_text())
    assert "auto_map" not in config and config["id2label"]["2"] == "maybe"

    loaded = AutoModelForSequenceClassification.from_pretrained(out)
    assert loaded.config._attn_implementation == "sdpa"
    with torch.no_grad():
        assert torch.equal(loaded.eval()(**inputs).logits, wanted), "other logits after loading"
    assert torch.equal(logits(load_finetuned(out)), wanted)
    tokenizer = AutoTokenizer.from_pretrained(out)
    word = vocabulary()[0]
    ids = tokenizer(word)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["[CLS]", word, "[SEP]"]


def test_shaping_a_captured_teachers_config_leaves_the_capture_behind():
    """The student must not inherit hooks or shared state through the config."""
    teacher = tiny_model()
    student = build_random(shaped_config(copy.deepcopy(teacher.config), SMALL))
    capture = Capture(teacher, {("query", 1)})
    assert student.config._attn_implementation != teacher.config._attn_implementation
    capture.close()


def test_an_encoder_whose_weights_are_not_its_own_is_refused(tmp_path):
    """Otherwise it would train from random weights while its record says pretrained."""
    folder = tmp_path / "encoder"
    model = build_random(tiny_config())
    model.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    state = {name: tensor for name, tensor in weights.items() if ".layer.1." not in name}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    encoder = Encoder(str(folder), None, "bert", SHAPE, VOCABULARY, None, ())
    with pytest.raises(UserError, match=r"its weights lack.*layer\.1"):
        load_encoder(encoder, tiny_config(), "float32", seed=0)


@pytest.mark.parametrize("lost", ["classifier.weight", "classifier of other labels"])
def test_a_finetuned_teacher_brings_its_own_head(tmp_path, lost):
    """A head that is not in the file would be random, and teach noise without a word."""
    folder = tmp_path / "encoder"
    build_random(tiny_config()).save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    if lost == "classifier.weight":
        del weights[lost]
    else:
        weights["classifier.weight"] = weights["classifier.weight"].repeat(2, 1)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    encoder = Encoder(str(folder), None, "bert", SHAPE, VOCABULARY, None, ())
    load_encoder(encoder, tiny_config(), "float32", seed=0)
    with pytest.raises(UserError, match=r"classifier\.weight.*labels"):
        load_encoder(encoder, tiny_config(), "float32", seed=0, finetuned=True)


@pytest.mark.parametrize("arch", EVERY_ARCH)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_config_saved_in_half_precision_changes_no_bit_of_a_new_model(arch, dtype):
    models = []
    for config in (tiny_config(arch), tiny_config(arch, dtype=dtype)):
        torch.manual_seed(1)
        models.append(build_random(config).state_dict())
    for name, tensor in models[0].items():
        assert torch.equal(tensor, models[1][name]) and tensor.dtype == models[1][name].dtype, name


@pytest.mark.parametrize("arch", ["bert", "roberta", "distilbert", "electra"])
def test_a_head_of_ones_own_regression_starts_at_the_mean_score(arch):
    """GLUE's keeps its recipe."""
    labels = torch.tensor([1.0, 2.0, 4.5])
    mine = replace(TASKS["stsb"], source=Source((), (), ""))
    for task in (mine, TASKS["stsb"], TASKS["rte"]):
        model = tiny_model(arch, labels=task.outputs)
        before = copy.deepcopy(model.state_dict())
        start_at_mean(model, task, labels)
        changed = {n: p for n, p in model.state_dict().items() if not torch.equal(p, before[n])}
        assert [p.tolist() for p in changed.values()] == ([[2.5]] if task is mine else [])
        assert all("encoder" not in name for name in changed)
