"""The documentation as a site: `make docs`.

`python .ci/docs.py SITE` gathers the pages of the repository in one folder, with the links between
them as they are there, adds the reference of commands and of the library, and lets Sphinx make HTML
of it. A warning of Sphinx, such as a link that leads nowhere, is exit status 1.
"""

import argparse
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The pages of the site by section, in their order: name -> file. A new page in docs/
# must be added here: a test asks for it.
NAVIGATION: dict[str, dict[str, str]] = {
    "Start": {
        "start": "README.md",
        "study-file": "config/README.md",
        "own-data": "docs/own-data.md",
        "stages": "docs/stages.md",
        "assistants": "docs/assistants.md",
        "extra-examples": "docs/extra-examples.md",
        "plugins": "docs/plugins.md",
        "faq": "docs/faq.md",
    },
    "Concepts": {
        "glossary": "docs/glossary.md",
        "choosing": "docs/choosing.md",
        "axes": "docs/axes.md",
        "statistics": "docs/statistics.md",
    },
    "Running": {
        "clusters": "docs/clusters.md",
        "performance": "docs/performance.md",
        "reliability": "docs/reliability.md",
    },
    "Results and students": {
        "results": "results/README.md",
        "columns": "docs/columns.md",
        "reference-study": "docs/reference-study.md",
        "reference-results": "docs/reference-results.md",
        "replay": "docs/replay.md",
        "shipping": "docs/shipping.md",
        "library": "docs/library.md",
    },
    "Project": {
        "comparison": "docs/comparison.md",
        "contributing": "CONTRIBUTING.md",
        "changelog": "CHANGELOG.md",
    },
}
# Made here: the help of each command, and the docstrings of what a training of one's own uses.
GENERATED = ("commands", "api")
MODULES = (
    *("kd.losses.distillation", "kd.losses.logits", "kd.losses.vectors", "kd.losses.attention"),
    *("kd.losses.relations", "kd.losses.transport", "kd.losses.temperature", "kd.axes.mappings"),
    *("kd.encoders.capture", "kd.results.record", "kd.results.statistics.intervals"),
    *("kd.results.statistics.effects", "kd.results.statistics.examples"),
)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"(```.*?```|`[^`\n]*`)", flags=re.DOTALL)

CONFIG = """\
project = "kd-grid"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
myst_heading_anchors = 4
myst_enable_extensions = ["tasklist"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
html_theme = "pydata_sphinx_theme"
html_title = "kd-grid"
html_show_sourcelink = False
html_theme_options = {"show_nav_level": 2, "navigation_with_keys": False, "navbar_align": "left",
                      "header_links_before_dropdown": 6, "footer_start": [], "footer_end": []}
suppress_warnings = ["misc.highlighting_failure"]


def escaped(app, what, name, obj, options, lines):
    lines[:] = [line.replace("|", r"\\|") for line in lines]  # |x| is no substitution


def setup(app):
    app.connect("autodoc-process-docstring", escaped)
"""


def pages() -> dict[str, Path]:
    """The file of each page that the repository has."""
    return {name: ROOT / file for part in NAVIGATION.values() for name, file in part.items()}


def links(text: str) -> Iterator[str]:
    """The targets of the links and pictures of a page, without those in code."""
    for piece in _FENCE.split(text)[::2]:
        yield from (match[3] for match in _LINK.finditer(piece))


def anchors(text: str) -> set[str]:
    """The names by which links reach the headings of a page, as GitHub makes them."""
    plain = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    heads = re.findall(r"^#+ +(.+?) *$", plain, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def target_of(link: str, page: Path) -> tuple[Path, str] | None:
    """The file and the heading that a link of a page leads to; None for one that leaves the
    repository."""
    if re.match(r"[a-z]+:", link):
        return None
    path, _, anchor = link.partition("#")
    return ((page.parent / path).resolve() if path else page, anchor)


def gathered(text: str, page: Path, out: Path) -> str:
    """A page's text for the site: links to other pages by their names, pictures copied to `out`.

    A link to a file that is no page becomes the path of that file.
    """
    names = {file: name for name, file in pages().items()}

    def link(match: re.Match[str]) -> str:
        found = target_of(match[3], page)
        if found is None:
            return match[0]
        file, anchor = found
        if match[1]:
            shutil.copy(file, out / file.name)
            return f"![{match[2]}]({file.name})"
        if file in names:
            place = f"{names[file]}.md" + (f"#{anchor}" if anchor else "")
            return f"[{names_shown(match[2], names[file])}]({place})"
        path = file.relative_to(ROOT).as_posix()
        return f"`{path}`" if match[2].strip("`") in (path, match[3]) else f"{match[2]} (`{path}`)"

    pieces = _FENCE.split(text)
    pieces[::2] = [_LINK.sub(link, piece) for piece in pieces[::2]]
    return "".join(pieces)


def names_shown(text: str, name: str) -> str:
    """The words of a link: a path of a file becomes the name of its page."""
    return name.replace("-", " ") if text.endswith(".md") else text


def sections() -> dict[str, list[str]]:
    """The names of the pages by section."""
    return {name: [*part] for name, part in NAVIGATION.items()} | {"Reference": [*GENERATED]}


def tables_of_contents() -> dict[str, str]:
    """The first page, which starts as the README does, and a page for each section."""
    intro = _readme()[0]
    parts = {f"section-{title.split()[0].lower()}": title for title in sections()}
    contents = {"index": f"# kd-grid\n\n{intro}\n\n{_toctree([*parts], depth=2)}"}
    for name, title in parts.items():
        contents[name] = f"# {title}\n\n{_toctree(sections()[title], depth=2)}"
    return contents


def _toctree(names: list[str], depth: int) -> str:
    return "\n".join([f"```{{toctree}}\n:maxdepth: {depth}\n", *names, "```", ""])


def _readme() -> tuple[str, str]:
    """The README before its first section, and the rest under a title."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    start, rest = text.split("\n## ", 1)
    return start.split("\n", 1)[1].strip(), f"# Getting started\n\n## {rest}"


def commands() -> str:
    """The help of every command."""
    from kd.cli.main import make_parser

    parser = make_parser()
    lines = ["# Commands", "", "`kd COMMAND`, or `python -m kd COMMAND`.", ""]
    (choices,) = (action.choices for action in parser._actions if action.dest == "command")
    for name, sub in (choices or {}).items():
        sub.formatter_class = _Wide
        lines += [f"## kd {name}", "", "```text", sub.format_help().rstrip(), "```", ""]
    return "\n".join(lines)


class _Wide(argparse.RawDescriptionHelpFormatter):
    """Help of one width, whatever the terminal's."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=100)


def api() -> str:
    """The docstrings of the library."""
    lines = [
        "# Modules",
        "",
        "For what each is good, see [the page on the library](library.md).",
        "",
    ]
    for module in MODULES:
        lines += [f"## {module}", "", "```{eval-rst}", f".. automodule:: {module}", "   :members:"]
        lines += ["```", ""]
    return "\n".join(lines)


def write(out: Path) -> None:
    """Write all that Sphinx reads to the folder `out`."""
    for name, file in pages().items():
        whole = _readme()[1] if name == "start" else file.read_text(encoding="utf-8")
        text = gathered(whole, file, out)
        (out / f"{name}.md").write_text(text, encoding="utf-8")
    for name, text in {**tables_of_contents(), "commands": commands(), "api": api()}.items():
        (out / f"{name}.md").write_text(text, encoding="utf-8")
    (out / "conf.py").write_text(CONFIG, encoding="utf-8")


def main(site: Path) -> int:
    """Build the site; the exit status."""
    from sphinx.cmd.build import build_main

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        status = build_main(["-b", "html", "-W", "--keep-going", "-q", folder, str(site)])
    if not status:
        print(f"The site: {site.resolve()}/index.html")
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
