"""The names of devices, as records and calibrations have them."""


def device_label(name: str, threads: int) -> str:
    """A device by its name; a CPU with its threads, because its speed depends on them."""
    if not name.startswith("cpu"):
        return name
    return f"{name}, {threads} thread{'s' * (threads > 1)}"


def kind_of(label: str) -> str:
    """`cpu` or `gpu`."""
    return "cpu" if label.startswith("cpu") else "gpu"
