"""The key `plugins` of a study: Python files of the user's own, read, run and checked.

A plugin is one file with tables named as those of `kd.axes` (`kd.axes.plugins.TABLES`). It is run
from the bytes whose hash is part of ids. Its errors name file and line.
"""

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from kd.axes.plugins import TABLES, Plugin, Row
from kd.runtime.errors import UserError, code_trouble, listing, nearest, shown
from kd.runtime.files import atomic_write
from kd.runtime.user_paths import readable
from kd.study.located import located_path
from kd.study.plugin_rows import TYPES, check_row

COPIES = "plugins"  # in the folder of a run: the sources of the plugins that it uses
_MODULE = "kd_plugin_"  # and the hash: its name among the modules of Python


def load_plugins(value: Any, study: Path) -> tuple[Plugin, ...]:
    """The plugins that the key names, each run once in this process.

    Raises:
        UserError: the key is no list of files, or a file is wrong: with its line.
    """
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise UserError(
            f"plugins: found {shown(value)}, allowed: a list of Python files, such as "
            f"[my_losses.py], from the study file's folder"
        )
    plugins: list[Plugin] = []
    for i, name in enumerate(value):
        where = f"plugins[{i}]"
        try:
            path = Path(located_path(name, study))
            if path.suffix != ".py":
                raise UserError(f"found {shown(name)}, allowed: a file whose name ends in .py")
            source = readable(path, "write it, or correct its name").read_bytes()
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        plugin = read_plugin(path, source)
        if plugin.sha256 in {other.sha256 for other in plugins}:
            raise UserError(f"{where}: {path} is there twice")
        plugins.append(plugin)
    return tuple(plugins)


@cache
def read_plugin(path: Path, source: bytes) -> Plugin:
    """Run a plugin's source, and check the rows that it adds.

    Raises:
        UserError: it names file and line.
    """
    sha256 = hashlib.sha256(source).hexdigest()
    try:
        tree = ast.parse(source, str(path))
        code: CodeType = compile(tree, str(path), "exec")
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise UserError(f"{path}: line {line}: not valid Python ({error})") from None
    _check_imports(path, tree)
    module = ModuleType(f"{_MODULE}{sha256[:12]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and the like look for it there
    try:
        exec(code, module.__dict__)
    except Exception as error:
        raise UserError(code_trouble(error, {str(path)}) or f"{path}: {error!r}") from error
    lines = _Lines(tree)
    rows = tuple(_rows(path, vars(module), lines))
    if not rows:
        near = next((hint for name in vars(module) if (hint := nearest(name, TABLES))), "")
        raise UserError(
            f"{path}: line 1: it adds nothing: found none of the tables {listing(TABLES)}{near}"
        )
    for row in rows:
        where = f"{path}: line {row.line}: {row}"
        try:
            check_row(row)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        except Exception as error:
            raise UserError(code_trouble(error, {str(path)}) or f"{where}: {error!r}") from error
    return Plugin(path, sha256, source, rows)


def _check_imports(path: Path, tree: ast.AST) -> None:
    """A module beside the plugin would change numbers without a change of its hash."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = ["." if node.level else str(node.module)]
        else:
            continue
        for name in names:
            first = name.partition(".")[0]
            beside = path.parent / first
            files = (beside.with_suffix(".py"), beside / "__init__.py")
            if not first or (first != "kd" and any(file.is_file() for file in files)):
                raise UserError(
                    f"{path}: line {node.lineno}: it imports {name}, a file beside it whose "
                    f"changes no id would show: a plugin is one file, and a study may name several"
                )


class _Lines:
    """Where a plugin's source writes the tables and the names in them."""

    def __init__(self, tree: ast.Module) -> None:
        self.tables = {
            target.id: node
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }

    def of(self, table: str, name: object) -> int:
        """The line of a row's name within its table; of the table, where it is not written so."""
        node = self.tables.get(table)
        if node is None:
            return 1
        lines = [
            part.lineno
            for part in ast.walk(node)
            if isinstance(part, ast.Constant) and part.value == name
        ]
        return min(lines, default=node.lineno)


def _rows(path: Path, names: dict[str, Any], lines: _Lines) -> Iterator[Row]:
    """The rows of all tables in a plugin, in their order there."""
    for name, value in names.items():
        if name in TABLES:
            yield from _table(path, name, value, lines)
        elif not name.startswith("_") and isinstance(value, dict):
            first = next(iter(value.values()), None)
            if type(first) in TYPES.values():
                raise UserError(
                    f"{path}: line {lines.of(name, '')}: found the table {name}, allowed: "
                    f"{listing(TABLES)}{nearest(name, TABLES)}"
                )


def _table(path: Path, table: str, value: Any, lines: _Lines) -> Iterator[Row]:
    def wrong(name: object, found: object, allowed: str) -> UserError:
        line = lines.of(table, name)
        return UserError(f"{path}: line {line}: {table}: found {shown(found)}, allowed: {allowed}")

    if not isinstance(value, dict):
        raise wrong("", value, "names with rows")
    if table != "MATCHINGS":
        for name, row in value.items():
            yield Row(table, "", name, lines.of(table, name), row)
        return
    for form, rows in value.items():
        if form not in TABLES[table]:
            raise wrong(
                form, form, f"forms: {listing(TABLES[table])}{nearest(form, TABLES[table])}"
            )
        if not isinstance(rows, dict):
            raise wrong(form, rows, "names with rows, for each form")
        for name, row in rows.items():
            yield Row(table, form, name, lines.of(table, name), row)


def keep_copies(plugins: Iterable[Plugin], run: Path) -> None:
    """Write the sources of the plugins that a run uses into its folder."""
    for plugin in plugins:
        (run / COPIES).mkdir(parents=True, exist_ok=True)
        atomic_write(run / COPIES / plugin.copy_name, plugin.source)


def copies(run: Path, wanted: Iterable[str]) -> tuple[Plugin, ...]:
    """The plugins with these hashes, from the sources in a run's folder.

    Raises:
        UserError: one is not there, or was changed.
    """
    there = {}
    for path in sorted((run / COPIES).glob("*.py")):
        source = path.read_bytes()
        there[hashlib.sha256(source).hexdigest()] = path, source
    for sha256 in wanted:
        if sha256 not in there:
            raise UserError(
                f"{run / COPIES}: has no source with the SHA-256 {sha256}, which the run uses "
                f"(its spec.json names it)"
            )
    return tuple(read_plugin(*there[sha256]) for sha256 in wanted)
