"""Configs and models of encoders with a classification head: loaded, or built with random weights.

All of them come from the Auto classes of transformers. Weights are read from safetensors alone.
"""

import copy
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)
from transformers.initialization import no_init_weights

from kd.axes.architectures import ARCHS, arch_facts
from kd.axes.kinds import SCORES
from kd.axes.pretrained import SCRATCH
from kd.axes.shapes import Shape
from kd.axes.tasks import Task
from kd.encoders.facts import Encoder
from kd.encoders.from_pretrained import aligned, from_pretrained, may_pass
from kd.encoders.label_order import label_order, other_kind, unknown_names
from kd.runtime.errors import Transient, UserError
from kd.runtime.startup import no_compiler


def encoder_config(encoder: Encoder) -> Any:
    """The encoder's config, from the hub, a folder, or made for `scratch`.

    Raises:
        UserError: it cannot be loaded, or is of another kind of encoder than the study states.
    """
    if encoder.location == SCRATCH:
        return _scratch_config(encoder)
    config = from_pretrained(AutoConfig, encoder)
    if config.model_type != encoder.arch:
        found = config.model_type
        advice = f"give it arch: {found}" if found in ARCHS else "give a folder with its files"
        raise UserError(
            f"{encoder.location}: its config says model_type {found}, not {encoder.arch}; {advice}"
        )
    return config


def _scratch_config(encoder: Encoder) -> Any:
    """The config of a `scratch` encoder: larger initial weights than BERT's 0.02, which suits a
    width of 768, and no dropout. Narrow encoders need both to learn the generated tasks."""
    config = AutoConfig.for_model(encoder.arch)
    config.initializer_range = 0.05
    for name, value in config.to_dict().items():
        if "dropout" in name and value is not None:
            setattr(config, name, 0.0)
    return shaped_config(config, encoder.shape)


def saved_config(tokens: Path) -> Any:
    """The config that was saved beside packed tokens.

    Raises:
        UserError: it is missing.
    """
    if not (tokens / "config.json").is_file():
        raise UserError(f"{tokens}: missing; `kd data` and `kd tokenise` make it")
    return AutoConfig.from_pretrained(tokens, trust_remote_code=False)


def shaped_config(config: Any, shape: Shape) -> Any:
    """A copy of `config` with another shape; dropout, activation and vocabulary stay."""
    config = copy.deepcopy(config)
    for name in ("embedding_size", "pooler_hidden_size"):  # ELECTRA, ALBERT; DeBERTa
        if getattr(config, name, None) == config.hidden_size:
            setattr(config, name, shape.hidden)
    if hasattr(config, "num_hidden_groups"):  # ALBERT: no more groups than layers that use them
        config.num_hidden_groups = min(config.num_hidden_groups, shape.layers)
    if types := getattr(config, "layer_types", None):  # ModernBERT: one global layer, two local
        period = next(p for p in range(1, len(types) + 1) if _repeats(types, p))
        config.layer_types = [types[i % period] for i in range(shape.layers)]
    if (shape.hidden, shape.heads) != (config.hidden_size, config.num_attention_heads):
        _set_heads(config, shape)
    config.num_hidden_layers = shape.layers
    config.hidden_size = shape.hidden
    config.num_attention_heads = shape.heads
    setattr(config, arch_facts(config.model_type).ffn, shape.ffn)
    return config


def _set_heads(config: Any, shape: Shape) -> None:
    """Set the size of heads and the number of key heads, which would stay the teacher's."""
    if getattr(config, "head_dim", None):
        config.head_dim = shape.head_size
    if kept := getattr(config, "num_key_value_heads", None):  # heads that share a key are a group
        group = config.num_attention_heads // kept
        whole = shape.heads % group == 0
        config.num_key_value_heads = shape.heads // group if whole else shape.heads


def _repeats(values: list[str], period: int) -> bool:
    """Whether the list is its first `period` values over and over."""
    return all(value == values[i % period] for i, value in enumerate(values))


def shape_of(config: Any) -> Shape:
    """The shape that a config describes."""
    ffn = getattr(config, arch_facts(config.model_type).ffn)
    heads = config.num_attention_heads
    return Shape(config.num_hidden_layers, config.hidden_size, heads, ffn)


def longest_input(config: Any) -> int:
    """Tokens that an encoder of this config can read."""
    return int(config.max_position_embeddings) - arch_facts(config.model_type).reserved


def load_encoder(
    encoder: Encoder, config: Any, dtype: str, seed: int, finetuned: bool = False
) -> PreTrainedModel:
    """A pretrained encoder with a head for the task of `config`; `scratch` is random.

    The head is new, unless the model is `finetuned`: then it must come from the file too.

    Raises:
        UserError: it cannot be loaded, lacks weights that it should have, or its real shape is not
            the one that the study states.
    """
    torch.manual_seed(seed)
    if encoder.location == SCRATCH:
        return build_random(config)
    return load_weights(encoder, config, dtype, finetuned)[0]


def load_weights(
    encoder: Encoder, config: Any, dtype: str, finetuned: bool = False
) -> tuple[PreTrainedModel, set[str]]:
    """A pretrained encoder as `load_encoder` loads it, and the names of the tensors that its file
    lacks: its head and pooler, which are random."""
    model, info = from_pretrained(
        AutoModelForSequenceClassification,
        encoder,
        config=config,
        dtype=getattr(torch, dtype),
        use_safetensors=True,
        ignore_mismatched_sizes=True,  # a head for other labels is replaced
        output_loading_info=True,
    )
    # Tensors that the file lacks are random now. Only a new head and pooler may be.
    absent = {*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])}
    prefix = f"{model.base_model_prefix}."
    lost = sorted(n for n in absent if finetuned or (n.startswith(prefix) and ".pooler." not in n))
    if lost:
        raise UserError(
            f"{encoder.location}: its weights lack, or have in another size, {lost[0]} and "
            f"{len(lost) - 1} more tensors of a {config.model_type} with {config.num_labels} labels"
        )
    if (found := shape_of(model.config)) != encoder.shape:
        raise UserError(f"{encoder.location}: its shape is {found}, not {encoder.shape}")
    return aligned(model), absent


def load_finetuned(folder: Path, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """A model that an earlier step exported.

    Raises:
        UserError: its files are missing or damaged.
        Transient: memory ran out, or the files could not be read.
    """
    try:
        return _exported(folder, dtype)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        if may_pass(error):
            raise Transient(f"{folder}: could not be loaded: {reason}") from error
        raise UserError(f"{folder}: missing or damaged ({reason}); delete it") from error


def _exported(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """The model of a folder of `save_pretrained`.

    `from_pretrained` would load SymPy to build a model without memory, which takes a second. Only
    it knows the encoders whose weights transformers saves under other names (Nomic BERT).
    """
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    with no_init_weights():
        model = AutoModelForSequenceClassification.from_config(
            config, dtype=dtype, trust_remote_code=False
        )
    weights = load_file(folder / "model.safetensors")
    if weights.keys() == model.state_dict().keys():
        model.load_state_dict(weights)
        model.name_or_path = str(folder)
        return model.eval()
    with no_compiler():
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
    return aligned(model)


def build_random(config: Any) -> PreTrainedModel:
    """A model with the encoder's own random initialisation, from torch's global generator.

    It is fp32, whatever dtype the config names, which is only that of the file it came from.
    """
    return AutoModelForSequenceClassification.from_config(
        config, dtype=torch.float32, trust_remote_code=False
    )


def align_labels(
    model: PreTrainedModel,
    task: Task,
    original: dict[int, str],
    stated: tuple[int, ...] | None = None,
) -> None:
    """Reorder the rows of a fine-tuned model's last layer to the task's official label order.

    `original` is the model's own id2label; `stated`, where the study has it, is the model's output
    for each official label.

    Raises:
        UserError: the names do not say which output is which label, and neither does the study.
    """
    if task.kind is SCORES:
        return
    if reason := other_kind(model.config.problem_type, task):
        raise UserError(f"{model.config.name_or_path}: config.json: {reason}")
    names = [original[i] for i in sorted(original)]
    found = stated or label_order(names, task)
    if found is None:
        raise unknown_names(f"{model.config.name_or_path}: config.json", names, task)
    order = torch.tensor(found)
    last = classifier_of(model)
    with torch.no_grad():
        last.weight.copy_(last.weight[order].clone())
        last.bias.copy_(last.bias[order].clone())


def classifier_of(model: PreTrainedModel) -> nn.Linear:
    """The layer that gives the logits: its input is the representation of an example, (B, H)."""
    encoder = set(model.base_model.modules())  # XLM-RoBERTa lists it after its head
    return [m for m in model.modules() if isinstance(m, nn.Linear) and m not in encoder][-1]


def start_at_mean(model: PreTrainedModel, task: Task, labels: torch.Tensor) -> None:
    """Let a new head of a regression of the user's own begin with the mean score, not with 0.

    With the learning rates of pretrained encoders an offset of a few units takes an epoch. GLUE's
    STS-B stays as published recipes have it.
    """
    if task.kind is SCORES and task.source:
        with torch.no_grad():
            classifier_of(model).bias.fill_(float(labels.mean()))


def sizes(model: PreTrainedModel) -> dict[str, int]:
    """Counts of parameters: all of them, and those outside the embedding tables."""
    total = sum(p.numel() for p in model.parameters())
    tables = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Embedding))
    return {"parameters": total, "nonembedding_parameters": total - tables}
