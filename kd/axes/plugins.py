"""The rows that a study's plugins add to the tables of this folder, and which plugin each is from.

The tables hold the rows of one study at a time: the one that was loaded last. `kd.study.plugins`
reads and checks the files.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kd.axes.figures import FIGURES, PLAIN
from kd.axes.initialisations import INITIALISATIONS
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.mappings import MAPPINGS
from kd.axes.matchings import MATCHINGS
from kd.axes.metrics import METRICS
from kd.axes.shapes import NAMED, parse_shape
from kd.axes.terms import forget_terms
from kd.runtime.errors import USER_CODE, UserError

# The tables that a plugin may add rows to, by the name that they have there too.
TABLES: dict[str, dict[str, Any]] = {
    "KNOWLEDGE": KNOWLEDGE,
    "MATCHINGS": MATCHINGS,  # by form: a table of tables
    "MAPPINGS": MAPPINGS,
    "NAMED": NAMED,
    "INITIALISATIONS": INITIALISATIONS,
    "METRICS": METRICS,
    "FIGURES": FIGURES,
}


@dataclass(frozen=True)
class Row:
    """One row of a plugin. `form` is that of a matching, '' elsewhere."""

    table: str
    form: str
    name: str
    line: int
    value: Any = field(compare=False)

    def __str__(self) -> str:
        of = f" of {self.form}" if self.form else ""
        return f"{_WORDS[self.table]} {self.name}{of}"


_WORDS = {
    **{"KNOWLEDGE": "knowledge", "MATCHINGS": "matching", "MAPPINGS": "mapping"},
    **{"NAMED": "student", "INITIALISATIONS": "init", "METRICS": "metric", "FIGURES": "figure"},
}


@dataclass(frozen=True)
class Plugin:
    """A Python file of the user's that adds rows; `sha256` is of its source, in hex."""

    path: Path
    sha256: str
    source: bytes = field(repr=False, compare=False)
    rows: tuple[Row, ...]

    @property
    def label(self) -> str:
        """Its file and the first 12 digits of its hash, as records have it."""
        return f"{self.path.name} {self.sha256[:12]}"

    @property
    def copy_name(self) -> str:
        """Name of the copy of its source that a run keeps."""
        return f"{self.path.stem}-{self.sha256[:12]}.py"


_active: tuple[Plugin, ...] = ()
_added: list[tuple[dict[str, Any], str]] = []
_owners: dict[int, Plugin] = {}  # by the identity of a row in its table


def activate(plugins: Iterable[Plugin]) -> None:
    """Let the tables have the rows of these plugins, and of no others.

    Raises:
        UserError: a name is there already, in the package or in another of the plugins.
    """
    global _active
    plugins = tuple(plugins)
    if plugins == _active:
        return
    for table, name in _added:
        del table[name]
    _added.clear()
    _owners.clear()
    _active = ()
    USER_CODE.clear()
    USER_CODE.update(str(plugin.path) for plugin in plugins)
    parse_shape.cache_clear()
    forget_terms()
    for plugin in plugins:
        for row in plugin.rows:
            table = TABLES[row.table][row.form] if row.form else TABLES[row.table]
            if row.name in table or (row.table == "FIGURES" and row.name in PLAIN):
                owner = plugin_of(table.get(row.name))
                whose = f"of {owner.path}" if owner else "of kd-grid itself"
                raise UserError(
                    f"{plugin.path}: line {row.line}: {row}: the name is that of a row {whose}; "
                    f"give it another"
                )
            value = replace(row.value)  # its own, though a plugin may name a row of the package
            table[row.name] = value
            _added.append((table, row.name))
            _owners[id(value)] = plugin
    _active = plugins


def plugin_of(row: Any) -> Plugin | None:
    """The plugin that a row of a table is from; None: the package's own."""
    return _owners.get(id(row))


def plugins_of(rows: Iterable[Any]) -> tuple[Plugin, ...]:
    """The plugins that some of the rows are from, each once, by their hash."""
    found = {plugin.sha256: plugin for row in rows if (plugin := plugin_of(row))}
    return tuple(found[sha256] for sha256 in sorted(found))


def hashes(plugins: Iterable[Plugin]) -> list[str]:
    """What identifies plugins: the hashes of their sources, whatever the files are called."""
    return [plugin.sha256 for plugin in plugins]


def source_text(row: Any) -> str:
    """Where a row is from: its source, and its plugin."""
    plugin = plugin_of(row)
    return "; ".join(filter(None, (row.source, f"plugin {plugin.path.name}" if plugin else "")))
