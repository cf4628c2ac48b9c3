"""`kd convert MODEL OUT`: a folder with pickled weights or a slow tokenizer, as one that kd reads.

A process of its own does the work (kd.encoders.convert_child), without network and access tokens.
It reads tensors alone from pickles; code in them never runs.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from kd.encoders import facts
from kd.encoders.folder import CONFIG, is_folder
from kd.runtime.errors import Transient, UserError
from kd.runtime.files import atomic_dir

_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def convert(model: str, out: Path, revision: str | None = None) -> list[str]:
    """Write `model` (a folder or a hub id) to the new folder `out`, whole or not at all; what was
    made of what.

    Raises:
        UserError: `out` is there, or `model` is not an encoder that can be converted.
    """
    if out.is_symlink() or out.exists():
        raise UserError(f"{out}: is there already; name a new folder")
    local = facts.is_local(model)
    if local and revision:
        raise UserError("--revision: it would change nothing: only a hub model has one")
    folder = Path(model).expanduser() if local else _download(model, revision)
    if not is_folder(folder):
        raise UserError(f"{str(folder)!r}: no such folder")
    with atomic_dir(out) as temporary:
        made = _in_a_child(folder, temporary)
        try:
            facts.checked_folder(temporary)
        except UserError as error:
            raise UserError(str(error).replace(str(temporary), str(folder))) from None
    return made


def _download(model: str, revision: str | None) -> Path:
    """A hub model's files, without code; pickles only where there are no safetensors."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        names = HfApi().list_repo_files(model, revision=revision)
        kind = "*.safetensors*" if any(n.endswith(".safetensors") for n in names) else "*.bin*"
        wanted = ["*.json", "*.txt", "*.model", kind]
        found = snapshot_download(
            model, revision=revision, allow_patterns=wanted, ignore_patterns="*/*"
        )
        return Path(found)
    except Exception as error:  # the network has errors of its own
        reason = " ".join(str(error).split())[:300]
        raise Transient(f"{model}: could not be downloaded: {reason}") from error


def _in_a_child(folder: Path, out: Path) -> list[str]:
    """What kd.encoders.convert_child has made."""
    above = str(Path(__file__).resolve().parents[2])
    paths = [above, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {k: v for k, v in os.environ.items() if k not in _TOKENS}
    environment |= {**_OFFLINE, "PYTHONPATH": os.pathsep.join(paths)}
    command = [
        sys.executable,
        "-m",
        "kd.encoders.convert_child",
        str(folder.absolute()),
        str(out.absolute()),
    ]
    done = subprocess.run(  # noqa: S603 (this very program)
        command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise UserError(f"{folder}: the conversion was killed ({name}); is there enough memory?")
    if done.returncode:
        raise UserError((done.stderr.strip().splitlines() or [f"{folder}: not converted"])[-1])
    made: list[str] = json.loads(done.stdout.splitlines()[-1])
    return [*made, CONFIG]
