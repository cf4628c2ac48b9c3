"""Reads features out of a Hugging Face encoder: hidden states by hooks, Q, K and V by attention.

A function registered with transformers' AttentionInterface sees the Q, K and V of every layer that
goes through it, whatever the encoder; it hands those of the wanted layers over and then calls the
fast attention (SDPA), which so stays on everywhere. `output_attentions` is never used: with SDPA it
returns nothing, and in training it returns maps after dropout.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from kd.errors import UserError

Features = dict[tuple[str, int], Tensor]
ATTENTION_FEATURES = ("query", "key", "value")
_NAME = "sdpa_with_capture"
_taps: "WeakKeyDictionary[nn.Module, Callable[..., None]]" = WeakKeyDictionary()


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
) -> tuple[Tensor, None]:
    if module in _taps:
        _taps[module](query, key, value)
    return sdpa_attention_forward(module, query, key, value, *args, **kwargs)


AttentionInterface.register(_NAME, _attention)
AttentionMaskInterface.register(_NAME, sdpa_mask)


class _DeepEnough(Exception):
    """Everything wanted has been seen: the rest of the forward pass would be wasted."""


def encoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The list of layers of an encoder."""
    count = model.config.num_hidden_layers
    for module in model.base_model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise UserError(f"{type(model).__name__}: its {count} layers were not found")


class Capture:
    """Runs a model and returns the wanted features.

    `wanted` holds ("logits", 0), ("hidden", layer) with layer 0 for the embeddings, and ("query" |
    "key" | "value", layer). Shapes: (B, C); (B, L, H); (B, h, L, d). Only these layers are hooked.
    """

    def __init__(self, model: PreTrainedModel, wanted: Iterable[tuple[str, int]]) -> None:
        self.model = model
        self.wanted = set(wanted)
        self._features: Features = {}
        self._handles: list[Any] = []
        layers = encoder_layers(model)
        deepest = max((layer for _, layer in self.wanted), default=0)
        if any(name in ATTENTION_FEATURES for name, _ in self.wanted):
            model.set_attn_implementation(_NAME)
        for index in {layer for _, layer in self.wanted}:
            names = {name for name, layer in self.wanted if layer == index}
            if "hidden" in names and index == 0:
                hook = layers[0].register_forward_pre_hook(self._input_hook, with_kwargs=True)
                self._handles.append(hook)
            elif "hidden" in names:
                self._handles.append(layers[index - 1].register_forward_hook(self._hook(index)))
            if names & set(ATTENTION_FEATURES):
                for module in layers[index - 1].modules():
                    _taps[module] = self._tap(index)
        if ("logits", 0) not in self.wanted and self.wanted:
            stop = layers[max(deepest, 1) - 1].register_forward_hook(self._stop)
            self._handles.append(stop)

    def __call__(self, **inputs: Tensor) -> Features:
        """Forward the batch.

        Raises:
            UserError: a feature was not seen: this encoder's attention cannot be captured.
        """
        self._features = {}
        with suppress(_DeepEnough):
            output = self.model(**inputs)
            self._features["logits", 0] = output.logits
        features, self._features = self._features, {}
        missing = sorted(self.wanted - set(features))
        if missing:
            raise UserError(
                f"{type(self.model).__name__}: no {missing[0][0]} seen in layer {missing[0][1]}; "
                f"this encoder's attention cannot be captured"
            )
        return {key: features[key] for key in self.wanted}

    def __enter__(self) -> "Capture":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Take all hooks off the model and give it its own attention back."""
        if self.model.config._attn_implementation == _NAME:
            self.model.set_attn_implementation("sdpa")
        for handle in self._handles:
            handle.remove()
        for module in encoder_layers(self.model).modules():
            _taps.pop(module, None)

    def _input_hook(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._features["hidden", 0] = args[0] if args else kwargs["hidden_states"]

    def _hook(self, index: int) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            self._features["hidden", index] = output if torch.is_tensor(output) else output[0]

        return hook

    def _tap(self, index: int) -> Callable[..., None]:
        def tap(query: Tensor, key: Tensor, value: Tensor) -> None:
            for name, tensor in zip(ATTENTION_FEATURES, (query, key, value), strict=True):
                if (name, index) in self.wanted:
                    self._features[name, index] = tensor

        return tap

    @staticmethod
    def _stop(module: nn.Module, args: Any, output: Any) -> None:
        raise _DeepEnough


def capture_teacher(capture: Capture, **inputs: Tensor) -> Features:
    """Features of a frozen teacher: under inference_mode, no autograd state."""
    with torch.inference_mode():
        features = capture(**inputs)
    # A tensor made under inference_mode cannot be saved for the student's backward; a copy can.
    return {key: tensor.clone() for key, tensor in features.items()}
