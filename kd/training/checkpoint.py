"""Saves a training's state in one safetensors file, so that a killed job continues from there.

The file is written aside and renamed, so it is always whole. It holds the identity of its training
(recipe, data, teacher, versions, threads). A training that finds another identity, or a damaged
file, starts from the beginning and comes to the same numbers.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from kd.runtime import bucket
from kd.runtime.errors import UserError
from kd.runtime.files import aside
from kd.runtime.hashes import canonical_json

SECONDS = "KD_CHECKPOINT_SECONDS"  # environment variable: seconds from one checkpoint to the next
_DEFAULT_SECONDS = 300.0


def interval() -> float:
    """Seconds from one checkpoint to the next.

    Raises:
        UserError: the environment variable holds no number of seconds.
    """
    text = os.environ.get(SECONDS, str(_DEFAULT_SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise UserError(f"{SECONDS}: found {text!r}, allowed: a number of seconds from 0")
    return seconds


class Checkpoint:
    """The checkpoint file of one training. `identity` is plain data: what the state depends on."""

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path, self.identity = path, canonical_json(identity)
        self._interval, self._last = interval(), time.monotonic()

    def due(self) -> bool:
        """Whether it is time to save. Changes of the system's clock do not matter."""
        return time.monotonic() - self._last >= self._interval

    def save(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> bool:
        """Write the state, and return whether it was written.

        If the disk is full, the training goes on and the previous checkpoint stays.
        """
        tensors, text = _separate(tensors), json.dumps(facts, allow_nan=False)
        metadata = {"identity": self.identity, "facts": text, "checksum": _checksum(tensors, text)}
        temporary = aside(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, temporary, metadata)  # for its owner alone
            temporary.chmod(self.path.parent.stat().st_mode & 0o666)
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            temporary.replace(self.path)
            bucket.put(self.path)
        except (OSError, SafetensorError) as error:
            print(f"{self.path}: not written ({error}); the previous one stays", flush=True)
            return False
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            self._last = time.monotonic()
        return True

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and facts of the saved state; None if there is none of this training."""
        bucket.fetch(self.path)
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, "pt") as file:
                metadata = file.metadata() or {}
                # Cloned, because memory-mapped tensors are not aligned as torch aligns its own.
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            if metadata["identity"] != self.identity:
                print(f"{self.path}: of another training; not used", flush=True)
                return None
            if metadata["checksum"] != _checksum(tensors, metadata["facts"]):
                raise ValueError("wrong checksum")
            return tensors, json.loads(metadata["facts"])
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            print(f"{self.path}: damaged ({error}); starting from the beginning", flush=True)
            return None

    def remove(self) -> None:
        """Remove the file, after the training has finished."""
        self.path.unlink(missing_ok=True)
        bucket.remove(self.path)


def _separate(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors on the CPU, contiguous. Those that share memory are copied, as safetensors needs."""
    seen, found = set[int](), dict[str, Tensor]()
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        place = tensor.untyped_storage().data_ptr()
        found[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return found


def _checksum(tensors: dict[str, Tensor], text: str) -> str:
    digest = xxhash.xxh3_128(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def module_tensors(**modules: nn.Module) -> dict[str, Tensor]:
    """The tensors of some modules by `name/key`."""
    return {f"{name}/{k}": v for name, m in modules.items() for k, v in m.state_dict().items()}


def load_modules(tensors: dict[str, Tensor], **modules: nn.Module) -> None:
    """Load what `module_tensors` returned into the modules."""
    for name, module in modules.items():
        module.load_state_dict(_below(name, tensors))


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Every parameter's moments: `optimiser/index/name`."""
    state = optimiser.state_dict()["state"]
    return {f"optimiser/{i}/{k}": v for i, values in state.items() for k, v in values.items()}


def load_optimiser(tensors: dict[str, Tensor], optimiser: torch.optim.Optimizer) -> None:
    """Load what `optimiser_tensors` returned into an optimiser of the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _below("optimiser", tensors).items():
        index, key = name.split("/")
        state.setdefault(int(index), {})[key] = tensor
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def random_states(device: torch.device) -> dict[str, Tensor]:
    """The state of the generators that draw dropout: `random/...`."""
    states = {"random/cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["random/cuda"] = torch.cuda.get_rng_state(device)
    return states


def load_random(tensors: dict[str, Tensor], device: torch.device) -> None:
    """Restore what `random_states` returned."""
    torch.set_rng_state(tensors["random/cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(tensors["random/cuda"], device)


def _below(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{name}/"
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
