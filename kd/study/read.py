"""Reads a study file. Its errors are one sentence."""

from pathlib import Path
from typing import Any

import yaml

from kd.runtime.errors import UserError


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice instead of keeping the last one silently."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._as_written: dict[int, bool] = {}

    def flatten_mapping(self, node: Any) -> None:
        """Check the keys before keys of other mappings are merged into them, for good."""
        if not self._as_written.setdefault(id(node), False):
            self._as_written[id(node)] = True
            self._check(node)
        super().flatten_mapping(node)

    def _check(self, node: Any) -> None:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                raise UserError(f"line {key_node.start_mark.line + 1}: a key must be a word")
            if key in seen:
                raise UserError(
                    f"line {key_node.start_mark.line + 1}: the key {key!r} is there twice"
                )
            seen.add(key)


def read_yaml(path: Path) -> Any:
    """The content of a study file.

    Raises:
        UserError: the file is missing, cannot be read, is no YAML, or has a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError("no such study file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the study file cannot be read ({error})") from None
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (it is a SafeLoader)
    except UserError:
        raise
    except Exception as error:  # PyYAML's constructors leak KeyError, AttributeError and others
        raise UserError(f"not valid YAML: {' '.join(str(error).split())[:300]}") from None
