"""Reads features out of a Hugging Face encoder: hidden states by hooks, Q, K and V by attention.

A function registered with transformers' AttentionInterface gets the Q, K and V of every layer, in
any encoder. It keeps those of the wanted layers and then calls the fast attention (SDPA).
`output_attentions` is not used, because it returns nothing with SDPA, and maps after dropout in
training. Layers are counted as they run, because ALBERT runs one module as all its layers.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from kd.axes.architectures import arch_facts, attention_obstacle
from kd.encoders.build import classifier_of
from kd.runtime.bf16 import bf16_autocast
from kd.runtime.errors import UserError

Features = dict[tuple[str, int], Tensor]
ATTENTION_FEATURES = ("query", "key", "value")
VECTORS = ("cls", "pooled")  # made of the hidden states of a layer
_NAME = "sdpa_with_capture"
_taps: "WeakKeyDictionary[nn.Module, Callable[..., None]]" = WeakKeyDictionary()


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
) -> tuple[Tensor, None]:
    if module in _taps:
        _taps[module](query, key, value)
    return sdpa_attention_forward(module, query, key, value, *args, **kwargs)


def _mask(attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor | None:
    """`sdpa_mask`, which asks whether a mask hides anything. A GPU would make the step wait for the
    answer: there a batch without padding comes without a mask (`kd.training.batches`)."""
    if attention_mask is not None and attention_mask.device.type != "cpu":
        kwargs["allow_is_bidirectional_skip"] = False
    return sdpa_mask(attention_mask=attention_mask, **kwargs)


AttentionInterface.register(_NAME, _attention)
AttentionMaskInterface.register(_NAME, _mask)


def vector_of(name: str, hidden: Tensor, mask: Tensor) -> Tensor:
    """One vector per example, (B, H): that of the first token (cls), or the mean (pooled).

    Args:
        name: cls or pooled.
        hidden: (B, L, H) hidden states.
        mask: (B, L) bool, true for real tokens.
    """
    return hidden[:, 0] if name == "cls" else pooled(hidden, mask)


def pooled(x: Tensor, mask: Tensor) -> Tensor:
    """The mean (B, H) of x (B, L, H) over each example's real tokens, in fp32; `mask` is (B, L)."""
    weight = (mask / mask.sum(-1, keepdim=True).clamp_min(1)).unsqueeze(1)
    return (weight @ x.float()).squeeze(1)


def _captures(wanted: Iterable[tuple[str, int]]) -> bool:
    """Whether Q, K or V is wanted."""
    return any(name in ATTENTION_FEATURES for name, _ in wanted)


class _DeepEnough(Exception):
    """Raised when everything wanted has been seen, to skip the rest of the forward pass."""


def encoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The modules that an encoder runs as its layers, in order. ALBERT runs each several times.

    Raises:
        UserError: they were not found.
    """
    config = model.config
    shared = arch_facts(config.model_type).shared_layers
    count = config.num_hidden_groups if shared else config.num_hidden_layers
    for module in model.base_model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise UserError(f"{type(model).__name__}: its {count} layers were not found")


class Capture:
    """Runs a model and returns the wanted features.

    `wanted` holds ("logits", 0), ("representation", 0), ("hidden", layer) with layer 0 for the
    embeddings, and ("query" | "key" | "value", layer). Shapes: (B, C); (B, H); (B, L, H);
    (B, h, L, d).

    The representation is what the layer that gives the logits reads. In training it is taken after
    the dropout before that layer.

    hidden(l) is what enters layer l + 1, and after the last layer the encoder's last_hidden_state
    (in ModernBERT after its final norm): what `output_hidden_states` returns. Q, K and V are what
    the attention multiplies (in ModernBERT after the rotation); softmax(Q K^T / sqrt(d)) over valid
    keys is what the eager attention returns as map. ModernBERT's local layers see half a window
    (64 tokens) to either side; the map is then without the window, and so the same for inputs of up
    to 65 tokens.

    Raises:
        UserError: this encoder's attention cannot be captured, or its layers were not found.
    """

    def __init__(self, model: PreTrainedModel, wanted: Iterable[tuple[str, int]]) -> None:
        self.model = model
        self.wanted = frozenset(wanted)
        self._features: Features = {}
        self._layer = 0  # the one that runs, from 1
        self._handles: list[Any] = []
        self._captures = False  # in `__call__` alone: a dev score calls the model itself
        self._own_attention = model.config._attn_implementation
        layers = encoder_layers(model)
        if _captures(self.wanted):
            if obstacle := attention_obstacle(model.config.model_type):
                raise UserError(f"{type(model).__name__}: {obstacle}: it cannot be captured")
            for module in layers.modules():
                _taps[module] = self._tap
        on_gpu = model.device.type != "cpu" and self._own_attention == "sdpa"
        if _captures(self.wanted) or on_gpu:  # on a GPU for its mask
            model.set_attn_implementation(_NAME)
        for layer in layers:
            self._handles.append(layer.register_forward_pre_hook(self._enter, with_kwargs=True))
        self._handles.append(model.base_model.register_forward_hook(self._leave))
        if ("representation", 0) in self.wanted:
            self._handles.append(classifier_of(model).register_forward_pre_hook(self._classify))

    def __call__(self, **inputs: Tensor) -> Features:
        """Run the batch through the model, no further than the last wanted feature.

        Args:
            inputs: tensors (B, L), by name.

        Returns:
            The wanted features by (name, layer); see the class for their shapes.

        Raises:
            UserError: a feature was not seen.
        """
        self._features, self._layer = {}, 0
        self._captures = True
        try:
            with suppress(_DeepEnough):
                output = self.model(**inputs)
                self._keep("logits", 0, output.logits)
        finally:
            self._captures = False
        features, self._features = self._features, {}
        missing = sorted(self.wanted - set(features))
        if missing:
            raise UserError(
                f"{type(self.model).__name__}: no {missing[0][0]} seen in layer {missing[0][1]}; "
                f"this encoder's attention cannot be captured"
            )
        return features

    def __enter__(self) -> "Capture":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove all hooks from the model and restore its own attention."""
        if self.model.config._attn_implementation == _NAME:
            self.model.set_attn_implementation(self._own_attention)
        for handle in self._handles:
            handle.remove()
        for module in encoder_layers(self.model).modules():
            _taps.pop(module, None)

    def _enter(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._keep("hidden", self._layer, args[0] if args else kwargs["hidden_states"])
        self._layer += 1

    def _tap(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        for name, tensor in zip(ATTENTION_FEATURES, (query, key, value), strict=True):
            self._keep(name, self._layer, tensor)

    def _leave(self, encoder: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._keep("hidden", self._layer, output[0])

    def _classify(self, classifier: nn.Module, args: tuple[Any, ...]) -> None:
        self._keep("representation", 0, args[0])

    def _keep(self, name: str, layer: int, tensor: Tensor) -> None:
        if self._captures and (name, layer) in self.wanted:
            self._features[name, layer] = tensor
            if len(self._features) == len(self.wanted):
                raise _DeepEnough


@contextmanager
def frozen(model: PreTrainedModel, precision: str = "fp32") -> Iterator[None]:
    """Compute as a teacher does: without autograd, and by default in the precision of its weights,
    without a run's autocast. So stored outputs equal computed ones. `bf16` is autocast."""
    device = model.device
    off = torch.autocast(device.type, enabled=False)
    with torch.inference_mode(), bf16_autocast(device) if precision == "bf16" else off:
        yield


def capture_teacher(capture: Capture, precision: str = "fp32", /, **inputs: Tensor) -> Features:
    """The features of a batch from a `frozen` teacher; shapes as in `Capture`."""
    with frozen(capture.model, precision):
        features = capture(**inputs)
    # A tensor made under inference_mode cannot be saved for the student's backward; a copy can.
    return {key: tensor.clone() for key, tensor in features.items()}
