"""The table of encoders, against what transformers says and does: so that it cannot rot."""

import pytest
import torch
import transformers
from helpers import EVERY_ARCH, VOCABULARY, tiny_config
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as CLASSES,
)

from kd.axes.architectures import (
    ARCHS,
    SCRATCH_ARCHS,
    arch_facts,
    attention_obstacle,
    shape_obstacle,
)
from kd.axes.pretrained import HUB_ENCODERS, SCRATCH
from kd.axes.shapes import Shape
from kd.encoders.build import build_random, encoder_config
from kd.encoders.facts import encoder

every_kind = pytest.mark.parametrize("arch", ARCHS)


@every_kind
def test_obstacles_are_those_of_transformers(arch):
    """Its own flag for attention that goes through AttentionInterface."""
    model = getattr(transformers, CLASSES[arch])
    assert model._supports_attention_backend == (attention_obstacle(arch) is None), (
        f"transformers {transformers.__version__} has changed {arch}: see ARCHS"
    )


def test_an_encoder_without_a_row_is_not_trusted():
    assert attention_obstacle("bert") is None
    assert attention_obstacle("squeezebert") == (
        "squeezebert is not among the encoders whose attention this project has checked"
    )


@every_kind
def test_the_name_of_the_feed_forward_size(arch):
    assert isinstance(getattr(AutoConfig.for_model(arch), arch_facts(arch).ffn), int)


@every_kind
def test_the_longest_input_is_the_position_table_less_its_reserved_rows(arch):
    config = tiny_config(arch)
    longest = config.max_position_embeddings - arch_facts(arch).reserved
    model = build_random(config).eval()

    def forward(length: int) -> None:
        ids = torch.full((1, length), VOCABULARY - 1)
        with torch.no_grad():
            assert model(input_ids=ids).logits.isfinite().all()

    forward(longest)
    if arch_facts(arch).rotary:
        forward(longest + 1)  # the limit is what the encoder was trained with
    else:
        with pytest.raises((IndexError, RuntimeError)):
            forward(longest + 1)


@pytest.mark.parametrize("head_size", [7, 8])
@every_kind
def test_an_encoder_of_a_shape_without_obstacle_runs(arch, head_size):
    shape = Shape(2, 3 * head_size, 3, 40)
    model = build_random(tiny_config(arch, shape)).eval()
    ids = torch.full((1, 5), VOCABULARY - 1)
    if shape_obstacle(arch, shape) is None:
        assert model(input_ids=ids).logits.shape == (1, 2)
    else:
        with pytest.raises(RuntimeError):
            model(input_ids=ids)
        assert (arch, head_size) == ("modernbert", 7)


def test_an_inner_width_is_no_width():
    """The layers of MobileBERT are 128 wide within, whatever its hidden size."""
    teacher = Shape(24, 512, 4, 512)
    assert shape_obstacle("mobilebert", Shape(6, 512, 4, 512), teacher) is None
    narrow = shape_obstacle("mobilebert", Shape(6, 256, 4, 512), teacher)
    assert narrow is not None and "only in the number of layers" in narrow
    assert shape_obstacle("bert", Shape(6, 256, 4, 512), teacher) is None


def test_shared_layers():
    for arch in ARCHS:
        shared = arch_facts(arch).shared_layers
        assert hasattr(AutoConfig.for_model(arch), "num_hidden_groups") == shared, arch


def test_every_scratch_encoder_is_tested():
    assert set(SCRATCH_ARCHS) == set(EVERY_ARCH)
    for arch in SCRATCH_ARCHS:
        assert attention_obstacle(arch) is None
        assert encoder_config(encoder(SCRATCH, "main", "2L-16-2h-32", arch)).model_type == arch


# Models whose sizes are the defaults of transformers' own configs.
DEFAULTS = {
    "bert": "google-bert/bert-base-uncased",
    "roberta": "FacebookAI/roberta-base",
    "distilbert": "distilbert/distilbert-base-uncased",
    "electra": "google/electra-small-discriminator",
    "modernbert": "answerdotai/ModernBERT-base",
    "mpnet": "microsoft/mpnet-base",
}


@pytest.mark.parametrize("arch", DEFAULTS)
def test_hub_sizes_are_the_defaults_of_transformers_where_it_has_them(arch):
    row, config = HUB_ENCODERS[DEFAULTS[arch]], AutoConfig.for_model(arch)
    ffn = getattr(config, arch_facts(arch).ffn)
    sizes = (config.num_hidden_layers, config.hidden_size, config.num_attention_heads, ffn)
    assert (row.arch, row.shape) == (arch, Shape(*sizes))
    assert (row.vocabulary, row.positions) == (config.vocab_size, config.max_position_embeddings)


def test_hub_encoders_are_of_known_kinds():
    for name, row in HUB_ENCODERS.items():
        assert row.arch in ARCHS, name
        assert shape_obstacle(row.arch, row.shape) is None, name
