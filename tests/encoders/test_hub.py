"""What the table of hub encoders says of each is what its config.json says."""

import pytest

from kd.axes.architectures import arch_facts
from kd.axes.pretrained import HUB_ENCODERS
from kd.axes.shapes import Shape
from kd.encoders.build import encoder_config
from kd.encoders.facts import encoder


@pytest.mark.network
@pytest.mark.parametrize("name", HUB_ENCODERS)
def test_a_row_is_the_models_config(name):
    row = HUB_ENCODERS[name]
    facts = arch_facts(row.arch)
    config = encoder_config(encoder(name, "main", None, "bert"))  # another kind is an error
    ffn = getattr(config, facts.ffn)
    shape = Shape(config.num_hidden_layers, config.hidden_size, config.num_attention_heads, ffn)
    assert shape == row.shape
    assert config.vocab_size == row.vocabulary
    assert config.max_position_embeddings - facts.reserved == row.positions
