"""The names of devices, as records and calibrations have them."""

from pathlib import Path

# Instructions that multiply bf16, as Linux names them on x86 and ARM.
_BF16 = ("avx512_bf16", "amx_bf16", "bf16")


def bf16_instructions(info: Path = Path("/proc/cpuinfo")) -> list[str]:
    """Those of this machine's processor, as far as Linux tells; found without torch."""
    known = info.read_text(encoding="utf-8").split() if info.is_file() else []
    return [name for name in _BF16 if name in known]


def device_label(name: str, threads: int) -> str:
    """A device by its name; a CPU with its threads, because its speed depends on them."""
    if not name.startswith("cpu"):
        return name
    return f"{name}, {threads} thread{'s' * (threads > 1)}"


def kind_of(label: str) -> str:
    """`cpu` or `gpu`."""
    return "cpu" if label.startswith("cpu") else "gpu"
