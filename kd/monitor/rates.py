"""How fast a device is: what `kd calibrate` measured there, or what is assumed of its kind."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kd.runtime.device_names import bf16_instructions, kind_of
from kd.runtime.errors import UserError, unknown
from kd.runtime.seals import read_record
from kd.study.paths import Layout

KINDS = ("cpu", "gpu")


@dataclass(frozen=True)
class Rates:
    """Seconds and rates of one device, from which the seconds of any job follow.

    One step of a training takes `step` seconds for each layer and for two more (embeddings and
    head), `update` seconds for each parameter, and its operations at `training` per second, by
    precision. Teachers, evaluations and stored outputs run forward in fp32 at `forward`.
    """

    device: str
    start: float  # seconds to start a job and load a model
    step: float
    update: float
    training: Mapping[str, float]  # fp32, bf16: operations per second
    forward: float  # operations per second
    disk: float  # bytes per second that are written
    basis: str  # where it is from: assumed, calibration

    @property
    def kind(self) -> str:
        """`cpu` or `gpu`."""
        return kind_of(self.device)


# A data centre GPU in bf16 reaches about this on short sequences; the time of a step is that of an
# H200 with CUDA graphs. One core of a server's CPU with AVX-512 and bf16: fitted to 90 trainings of
# 2 to 6 layers. Without them fp32 is nearly as fast, and bf16 takes longer than fp32.
ASSUMED = {
    "gpu": Rates("gpu", 10.0, 2.5e-4, 0.0, {"fp32": 1e13, "bf16": 2e13}, 1e13, 2e8, "assumed"),
    "cpu": Rates("cpu", 4.0, 2.5e-3, 1.7e-9, {"fp32": 8e10, "bf16": 1.6e11}, 8e10, 2e8, "assumed"),
}
_SLOW_BF16 = 7e10
_KEYS = ("start", "step", "update", "training", "forward", "disk")


def here() -> str:
    """The kind of device of this machine, found without torch."""
    return "gpu" if Path("/dev/nvidia0").exists() or Path("/dev/kfd").exists() else "cpu"


def calibrated(layout: Layout) -> dict[str, Rates]:
    """By device, the rates that `kd calibrate` has measured below these results.

    Raises:
        UserError: the file is damaged.
    """
    if not layout.calibration.is_file():
        return {}
    by_device: dict[str, Any] = read_record(layout.calibration, "devices", mark=False)["devices"]
    try:
        return {
            device: Rates(device, **{key: facts[key] for key in _KEYS}, basis="calibration")
            for device, facts in by_device.items()
        }
    except (KeyError, TypeError):
        raise UserError(f"{layout.calibration}: damaged; `kd calibrate` writes it anew") from None


def rates_of(device: str | None, layout: Layout, recorded: list[str]) -> Rates:
    """The rates to plan with.

    Args:
        device: `cpu`, `gpu`, the name of a device, or None to choose.
        layout: where calibrations are.
        recorded: the devices of records, the most frequent first.

    Returns:
        those of the device that is named; else of the most frequent one in the records; else of one
        that is calibrated, of this machine's kind first; else those assumed of this machine's kind.

    Raises:
        UserError: nothing is known of a device of that name.
    """
    known = calibrated(layout)
    names = list(dict.fromkeys([*recorded, *known]))
    if device is None:
        mine = [name for name in known if kind_of(name) == here()]
        device = next(iter([*recorded, *mine, *known]), here())
    elif device in KINDS:
        same = [name for name in names if kind_of(name) == device]
        device = next(iter(same), device)
    elif device not in names:
        raise unknown("--device", device, [*KINDS, *names])
    if device in known:
        return known[device]
    assumed = replace(ASSUMED[kind_of(device)], device=device)
    if assumed.kind == "cpu" and not bf16_instructions():
        return replace(assumed, training={**assumed.training, "bf16": _SLOW_BF16})
    return assumed
