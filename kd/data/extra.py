"""Extra examples of a task, without labels, as files: written, read, and put behind the training
split.

A folder of them holds extra.parquet, with the columns made_of (id of the training example, or
TRANSFERRED), sentence1 and sentence2 (null for single texts), and a manifest.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from kd.axes.kinds import LABELS, SCORES
from kd.axes.tasks import Task
from kd.data.transfer import Texts
from kd.runtime.errors import UserError
from kd.runtime.files import read_json, write_json
from kd.runtime.hashes import file_digest
from kd.runtime.seals import check_seal, sealed_dir

if TYPE_CHECKING:
    import pandas as pd

MADE_OF = "made_of"
ORIGINAL, TRANSFERRED = -2, -1  # in `made_of`: no extra example; made from none
_FILE = "extra.parquet"
_TEXTS = ("sentence1", "sentence2")


def key_of(texts: Texts) -> int:
    """A hash that is equal for texts that differ in case or blanks alone."""
    plain = "\n".join(" ".join(text.split()).casefold() for text in texts)
    return xxhash.xxh3_64_intdigest(plain.encode())


def texts_of(frame: "pd.DataFrame", task: Task) -> list[Texts]:
    """The texts of each example of a split."""
    columns = (frame[column].tolist() for column in _TEXTS[: len(task.columns)])
    return list(zip(*columns, strict=True))


def keys_of_task(text: Path, task: Task) -> set[int]:
    """The keys of all texts of a task, in every split that has labels."""
    import pandas as pd

    frames = (pd.read_parquet(text / f"{split}.parquet") for split in task.splits)
    return {key_of(texts) for frame in frames for texts in texts_of(frame, task)}


def write_extra(
    out: Path, examples: Iterable[tuple[int, Texts]], known: set[int], facts: dict[str, Any]
) -> None:
    """Write extra examples to the folder `out`, sealed.

    Args:
        out: the folder.
        examples: (id of the training example or TRANSFERRED, texts), in their order.
        known: keys of texts of the task. Examples with such texts are left out, and counted.
        facts: more for the manifest.

    Raises:
        UserError: none is left; no key is named.
    """
    import pandas as pd

    kept, left_out = list[tuple[Any, ...]](), 0
    for made_of, texts in examples:
        if key_of(texts) in known:
            left_out += 1
        else:
            kept.append((made_of, texts[0], texts[1] if len(texts) > 1 else None))
    if not kept:
        raise UserError(
            f"found {left_out} examples, all of them texts of the task itself, allowed: at least "
            f"one text that the task does not have"
            if left_out
            else "found no example, allowed: at least one"
        )
    with sealed_dir(out) as folder:
        pd.DataFrame(kept, columns=[MADE_OF, *_TEXTS]).to_parquet(folder / _FILE, index=False)
        counts = {"examples": len(kept), "left_out_of_task": left_out}
        fingerprint = file_digest(folder / _FILE)
        write_json(folder / "manifest.json", {**facts, **counts, "fingerprint": fingerprint})


def extra_fingerprint(folder: Path) -> str:
    """The fingerprint of extra examples, from their manifest."""
    return str(read_json(folder / "manifest.json")["fingerprint"])


def with_extras(train: "pd.DataFrame", folders: Sequence[Path], task: Task) -> "pd.DataFrame":
    """A training split and the extra examples behind it, with a column `made_of`: the number of the
    example in the split, TRANSFERRED or ORIGINAL.

    Ids of extra examples are below 0, and their labels are -1, NaN or empty.

    Raises:
        UserError: a folder is missing or damaged.
    """
    import pandas as pd

    extra = pd.concat(
        [pd.read_parquet(check_seal(folder) / _FILE) for folder in folders], ignore_index=True
    )
    places = pd.Series(np.arange(len(train)), index=train["id"])
    made = extra[MADE_OF] != TRANSFERRED
    extra.loc[made, MADE_OF] = places.loc[extra.loc[made, MADE_OF]].to_numpy()
    extra["id"] = -1 - np.arange(len(extra))
    missing: Any = {SCORES: float("nan"), LABELS: ()}.get(task.kind, -1)
    extra["label"] = pd.Series([missing] * len(extra))
    return pd.concat([train.assign(**{MADE_OF: ORIGINAL}), extra], ignore_index=True)
