"""Encoders with the head of a masked language model, as a stage before the task trains them.

The head is the encoder's own class of transformers (AutoModelForMaskedLM). It is asked only for the
tokens that are masked: of a batch these are a sixth, and their logits are as wide as the
vocabulary.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForMaskedLM, PreTrainedModel

from kd.data.masking import PREDICTED
from kd.encoders.build import shape_of
from kd.encoders.facts import Encoder
from kd.encoders.from_pretrained import aligned, from_pretrained
from kd.runtime.errors import UserError


def build_masked_lm(config: Any) -> PreTrainedModel:
    """A model with random weights in fp32, from torch's global generator."""
    return AutoModelForMaskedLM.from_config(config, dtype=torch.float32, trust_remote_code=False)


def load_masked_lm(encoder: Encoder, config: Any, dtype: str, with_head: bool) -> PreTrainedModel:
    """A pretrained encoder; a head that its file lacks is random.

    Args:
        encoder: where it is.
        config: of it.
        dtype: of the loaded weights.
        with_head: whether its head is needed.

    Raises:
        UserError: it cannot be loaded, lacks weights that it should have, or its real shape is not
            the one that the study states.
    """
    model, info = from_pretrained(
        AutoModelForMaskedLM,
        encoder,
        config=config,
        dtype=getattr(torch, dtype),
        use_safetensors=True,
        output_loading_info=True,
    )
    prefix = f"{model.base_model_prefix}."
    lost = sorted(n for n in info["missing_keys"] if with_head or n.startswith(prefix))
    if lost:
        what = "it has no masked language model head" if not lost[0].startswith(prefix) else ""
        raise UserError(
            f"{encoder.location}: its weights lack {lost[0]} and {len(lost) - 1} more tensors of a "
            f"{config.model_type}{': ' + what if what else ''}"
        )
    if (found := shape_of(model.config)) != encoder.shape:
        raise UserError(f"{encoder.location}: its shape is {found}, not {encoder.shape}")
    return aligned(model)


def predict_masked_alone(model: PreTrainedModel) -> None:
    """Let the model take `predicted` (B, L) bool among its inputs; its logits are then
    (predicted tokens, words), row by row."""
    asked: list[Tensor] = []

    def take(module: nn.Module, args: Any, inputs: dict[str, Any]) -> Any:
        asked[:] = [inputs.pop(PREDICTED)] if PREDICTED in inputs else []
        return args, inputs

    def select(module: nn.Module, args: tuple[Tensor, ...]) -> Any:
        return (args[0][asked[0]],) if asked else args

    words = model.get_output_embeddings()
    if not isinstance(words, nn.Module):
        raise UserError(f"{type(model).__name__}: its masked language model head was not found")
    model.register_forward_pre_hook(take, with_kwargs=True)
    words.register_forward_pre_hook(select)
