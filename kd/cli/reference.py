"""Commands that need no study: axes, shapes, schemas, and to convert a model."""

import argparse
import json
from pathlib import Path

from kd.axes.equal_size import MEASURES, parse_iso, sizes_data, sizes_text
from kd.axes.shapes import NAMED, Shape, parse_shape
from kd.cli import completion
from kd.cli.arguments import Commands, add_options, command
from kd.runtime.errors import UserError
from kd.study.check import load_study
from kd.study.find import find_study

_AXES = """\
List every value that an axis can take, with formula, needs, default and source
"""

_SHAPES = f"""\
List student shapes with their sizes, or find shapes of equal size

Sizes are those of BERT encoders. Without SHAPE it lists the shapes that the literature names.

  kd shapes 6L-384 4L-312-12h-1200                  sizes of these two
  kd shapes 6L-384 --same params --layers 2,4,12    as large as the first, at other depths

--same takes
{"".join(f"  {name:<14}{row.meaning}{chr(10)}" for name, row in MEASURES.items())}
6L-384 is short for 6L-384-12h-1536: 6 layers, width 384, 12 heads, feed-forward width 4 x 384.
Shapes of equal size are equal within 5 %. Their widths are multiples of 12, or of 4 where narrow
ones need it. The same list in a study: `student: {{iso-params: 6L-384, layers: [2, 4, 12]}}`, under
axes.
"""

_CONVERT = """\
Make a folder that a study can read, of a model with .bin weights or a slow tokenizer

It writes model.safetensors from .bin weights (pickles), and tokenizer.json from a slow tokenizer
(vocab.txt, vocab.json with merges.txt, or a SentencePiece model). It copies files that need no
conversion. Paths start at the working directory.

Pickles are opened in a process without network that builds tensors and nothing else. Code in them
is refused and never runs. SentencePiece models need pip install 'kd-grid[sentencepiece]'.
"""

_SCHEMAS = ("study", "metrics", "runs", "columns")  # the last: docs/columns.md


def add(commands: Commands) -> None:
    """Add the commands of this module."""
    axes = command(commands, "axes", _axes, _AXES)
    axes.add_argument("name", metavar="NAME", nargs="?", help="one axis: knowledge, mapping, ...")
    axes.add_argument(
        "--study", dest="rows_of", metavar="STUDY", help="with the rows of this study's plugins"
    )
    axes.add_argument("--markdown", action="store_true", help="as docs/axes.md holds it")
    add_options(axes, "--json")

    shapes = command(commands, "shapes", _shapes, _SHAPES)
    shapes.add_argument("shapes", metavar="SHAPE", nargs="*", help="6L-384, tinybert4, ...")
    shapes.add_argument("--same", choices=MEASURES, help="the size to share")
    shapes.add_argument("--layers", metavar="N,N,...", help="depths of the shapes of equal size")
    add_options(shapes, "--json")

    schema = command(
        commands, "schema", _schema, "Print the schema of a file that kd reads or writes"
    )
    schema.add_argument("of", nargs="?", choices=_SCHEMAS, default="study", help="which (study)")

    convert = command(commands, "convert", _convert, _CONVERT)
    convert.add_argument("model", metavar="MODEL", help="a folder, or a hub id")
    convert.add_argument("out", metavar="OUT", help="the folder to make")
    convert.add_argument("--revision", help="hub commit, tag or branch (default: main)")
    completion.add(commands)


def _axes(options: argparse.Namespace) -> None:
    from kd.axes.page import chosen, data, markdown, plain

    if options.rows_of:
        load_study(find_study(options.rows_of))

    sections = chosen(options.name)
    if options.json:
        print(json.dumps(data(sections), indent=2, ensure_ascii=False))
    else:
        print((markdown if options.markdown else plain)(sections))


def _shapes(options: argparse.Namespace) -> None:
    sizes: list[tuple[Shape, float | None]] = []
    if options.same is None and options.layers is None:
        named = dict.fromkeys(row.shape for row in NAMED.values())
        shapes = [parse_shape(text) for text in options.shapes] or named
        sizes = [(shape, None) for shape in shapes]
    elif options.same and options.layers and options.shapes:
        layers = [int(n) if n.isdecimal() else n for n in options.layers.split(",")]
        for shape in options.shapes:
            sizes += parse_iso({f"iso-{options.same}": shape, "layers": layers})
    else:
        raise UserError(
            "shapes: SHAPE, --same and --layers belong together: 6L-384 --same params --layers 2,4"
        )
    print(json.dumps(sizes_data(sizes), indent=2) if options.json else sizes_text(sizes))


def _schema(options: argparse.Namespace) -> None:
    from kd.results.columns import columns_text, metrics_schema, runs_schema
    from kd.study.schema import study_schema

    if options.of == "columns":
        print(columns_text(), end="")
        return
    schemas = {"study": study_schema, "metrics": metrics_schema, "runs": runs_schema}
    print(json.dumps(schemas[options.of](), indent=2, ensure_ascii=False))


def _convert(options: argparse.Namespace) -> None:
    from kd.encoders.convert import convert

    made = convert(options.model, Path(options.out), options.revision)
    print(f"{options.out}: {'; '.join(made)}")
