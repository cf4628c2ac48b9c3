"""The command line: plan, runs and status for people, one subcommand for each step of the workflow.

Imports of torch, transformers and pandas stand inside the steps that need them, so that --help and
plan answer at once.
"""

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kd import __version__
from kd.axes.shapes import MEASURES, NAMED, parse_iso, parse_shape, sizes_text
from kd.monitor.kept import namesakes, same_name
from kd.runtime.console import own_console
from kd.runtime.errors import UserError, storage_trouble, without_secrets
from kd.runtime.signals import Stopped, watched
from kd.study.grid import Grid, load_grid
from kd.study.inputs import check_inputs
from kd.study.paths import Layout

_DESCRIPTION = """\
Knowledge distillation of transformer encoders, as a grid of runs.

  kd plan STUDY      what would run, what is pruned and why, what is done; starts nothing
  kd runs STUDY      every run with its id and its spec
  kd status STUDY    how far it is: done, running, failed, missing
  kd recover STUDY   after a crash: what is left, and what to do
  kd free STUDY ...  disk of stored teacher outputs that no unfinished run needs
  kd axes [NAME]     every value that an axis can take, with formula, needs and source
  kd shapes          sizes of student shapes; shapes of equal size

`snakemake --configfile STUDY` runs a study. It calls these steps, which can be run by hand too:
  kd data, tokenise, teacher, outputs, distil, evaluate, collect, tables, figures, report,
  guideline

  kd compare A B     two records: shared runs, differences in score and environment
  kd convert M OUT   a model with .bin weights or a slow tokenizer, as a folder that a study reads
"""


_SHAPES = f"""\
Student shapes and their sizes as BERT encoders. Without SHAPE, those that the literature names.

  kd shapes 6L-384 4L-312-12h-1200                  sizes of these two
  kd shapes 6L-384 --same params --layers 2,4,12    as large as the first, at other depths

--same takes
{"".join(f"  {name:<14}{row.meaning}{chr(10)}" for name, row in MEASURES.items())}
6L-384 is short for 6L-384-12h-1536: 6 layers, width 384, 12 heads, feed-forward 4 x 384. Widths of
shapes of equal size are multiples of 12 (of 4, where narrow ones need it); all are within 5 %.
In a study, `student: {{iso-params: 6L-384, layers: [2, 4, 12]}}` under axes is the same list.
"""


_FREE = """\
Remove stored teacher outputs that no unfinished run needs: once all runs are done, all of them.
Without --yes only list them.

Name every study that still needs them: only the unfinished runs of the studies that are named keep
what they read. Nothing is lost but time: finished runs stay finished, and the first later run that
reads what was removed computes and stores it anew.
"""


_CONVERT = """\
Make a folder that a study can read: model.safetensors of .bin weights (pickles), tokenizer.json of
a slow tokenizer (vocab.txt, vocab.json with merges.txt, a SentencePiece model). Files
that need no conversion are copied. Paths start at the working directory.

Pickles are opened by a process without network that builds tensors alone: code in them is refused,
never run. SentencePiece models need pip install 'kd-grid[sentencepiece]'.
"""


# Commands whose results are files; what they print is a log.
_LOGGED = {
    *("data", "tokenise", "teacher", "outputs", "distil", "evaluate", "collect", "tables"),
    *("figures", "report", "tensorboard", "convert"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; a user's mistake is one sentence on stderr and exit status 2.

    What ctrl-C ended exits with 130, what another signal ended with 75: started again, it goes on.
    """
    with own_console() as lost_output:
        options = _parser().parse_args(arguments)
        status = _main(options)
        if status == 0 and options.command not in _LOGGED and lost_output():
            print("error: the output is not whole: its disk is full", file=sys.stderr)
            return 2
        return status


def _main(options: argparse.Namespace) -> int:
    try:
        with watched():
            options.act(options)
    except Stopped as stop:
        print(stop, file=sys.stderr)
        return stop.status
    except UserError as error:
        print(f"error: {without_secrets(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if sentence := storage_trouble(error):
            print(f"error: {sentence}", file=sys.stderr)
            return 2
        print(without_secrets(traceback.format_exc()), file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kd", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"kd {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(
        name: str, act: Callable[[argparse.Namespace], None], text: str, *flags: str
    ) -> None:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("study", metavar="STUDY", help="a study file (YAML)")
        sub.add_argument("--results", default="results", help="folder of all outputs (results)")
        for flag in flags:
            sub.add_argument(flag, **_FLAGS[flag])  # type: ignore[arg-type]
        sub.set_defaults(act=act)

    command("plan", _plan, "show what a study would run; start nothing", "--json")
    command("runs", _runs, "list a study's runs with their ids and specs", "--json")
    command("status", _status, "show how far a study is, from the files alone", "--json")
    command("recover", _recover, "after a crash: what is left, and what to do", "--json")
    command("data", _data, "load the text of one task", "--task")
    command("tokenise", _tokenise, "tokenise the text of one task", "--task", "--tokens")
    command("teacher", _teacher, "fine-tune and evaluate one teacher", "--teacher", "--threads")
    command(
        "outputs",
        _outputs,
        "store what a teacher says of the training examples, for all runs that need it",
        *("--teacher", "--tokens", "--need", "--threads"),
    )
    command("distil", _distil, "train the student of one run", "--run", "--threads")
    command("evaluate", _evaluate, "evaluate the student of one run", "--run", "--threads")
    command("collect", _collect, "gather the metrics of a study's runs into runs.csv")
    command("tables", _tables, "make summary.csv and the tables from runs.csv")
    command("figures", _figures, "draw the figures from runs.csv")
    command("report", _report, "write report.html from runs.csv, tables and figures")
    text = "write the advice that follows from runs.csv: guideline.md; --json prints it as data"
    command("guideline", _guideline, text, "--json")
    command("tensorboard", _tensorboard, "write the histories of all runs as TensorBoard events")

    free = commands.add_parser(
        "free",
        help="remove stored teacher outputs that no unfinished run needs",
        description=_FREE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    free.add_argument("studies", metavar="STUDY", nargs="+", help="a study file (YAML)")
    free.add_argument("--results", default="results", help="folder of all outputs (results)")
    free.add_argument("--yes", action="store_true", help="remove them")
    free.add_argument("--json", action="store_true", help="print JSON")
    free.set_defaults(act=_free)

    shapes = commands.add_parser(
        "shapes",
        help="list student shapes with their sizes, or find shapes of equal size",
        description=_SHAPES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    shapes.add_argument("shapes", metavar="SHAPE", nargs="*", help="6L-384, tinybert4, ...")
    shapes.add_argument("--same", choices=MEASURES, help="the size to share")
    shapes.add_argument("--layers", metavar="N,N,...", help="depths of the shapes of equal size")
    shapes.set_defaults(act=_shapes)

    text = "list every value that an axis can take, with formula, needs, default and source"
    axes = commands.add_parser("axes", help=text, description=text)
    axes.add_argument("name", metavar="NAME", nargs="?", help="one axis: knowledge, mapping, ...")
    axes.add_argument("--markdown", action="store_true", help="as docs/axes.md holds it")
    axes.set_defaults(act=_axes)

    compare = commands.add_parser("compare", help="compare two records of runs")
    for side in ("a", "b"):
        text = "a runs.csv, its folder, or the name of a study"
        compare.add_argument(side, metavar=side.upper(), help=text)
    compare.add_argument("--results", default="results", help="folder of all outputs (results)")
    compare.add_argument("--json", action="store_true", help="print JSON")
    compare.set_defaults(act=_compare)

    convert = commands.add_parser(
        "convert",
        help="make safetensors and tokenizer.json of a model with .bin weights or a slow tokenizer",
        description=_CONVERT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    convert.add_argument("model", metavar="MODEL", help="a folder, or a hub id")
    convert.add_argument("out", metavar="OUT", help="the folder to make")
    convert.add_argument("--revision", help="hub commit, tag or branch (main)")
    convert.set_defaults(act=_convert)

    schema = commands.add_parser(
        "schema", help="print the schema of a file that kd reads or writes"
    )
    schema.add_argument("of", nargs="?", choices=_SCHEMAS, default="study", help="which (study)")
    schema.set_defaults(act=_schema)
    return parser


_SCHEMAS = ("study", "metrics", "runs", "columns")  # the last: docs/columns.md

_FLAGS: dict[str, dict[str, object]] = {
    "--json": {"action": "store_true", "help": "print JSON"},
    "--task": {"required": True, "help": "name of the task"},
    "--tokens": {"required": True, "metavar": "ID", "help": "folder name of the tokens"},
    "--teacher": {"required": True, "metavar": "ID", "help": "id of the teacher"},
    "--need": {"required": True, "metavar": "ID", "help": "name of what the runs need"},
    "--run": {"required": True, "metavar": "ID", "help": "id of the run, as `kd runs` prints it"},
    "--threads": {
        "type": int,
        "default": 1,
        "help": "CPU threads (1); numbers are the same to the bit only for the same count",
    },
}


def _grid(options: argparse.Namespace) -> tuple[Grid, Layout]:
    return load_grid(options.study), Layout(options.results)


def _steps() -> Any:
    """The steps that run models."""
    from kd.runtime import startup

    startup.prepare()
    from kd.jobs import steps

    return steps


def _plan(options: argparse.Namespace) -> None:
    from kd.monitor.plan import plan, plan_text

    grid, layout = _grid(options)
    check_inputs(grid)
    for other in namesakes(grid.study.path, grid.study.name):
        print(f"warning: {same_name(grid.study.path, other, grid.study.name)}", file=sys.stderr)
    found = plan(grid, layout)
    print(json.dumps(found, indent=2) if options.json else plan_text(found))


def _runs(options: argparse.Namespace) -> None:
    grid, _ = _grid(options)
    if options.json:
        rows = [
            {"id": run.id, "spec": run.spec, "labels": run.labels, "teacher_id": run.teacher.id}
            for run in grid.runs.values()
        ]
        print(json.dumps(rows, indent=2))
        return
    for run in grid.runs.values():
        print(run.id, *(f"{key}={run.labels[key]}" for key in grid.varied))


def _status(options: argparse.Namespace) -> None:
    from kd.monitor.plan import status, status_text

    found = status(*_grid(options))
    print(json.dumps(found, indent=2) if options.json else status_text(found))


def _recover(options: argparse.Namespace) -> None:
    from kd.monitor.recover import recover

    found = recover(*_grid(options), Path())
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(found) or "nothing is left of a workflow that died")


def _free(options: argparse.Namespace) -> None:
    from kd.monitor.free import free, idle_outputs

    layout = Layout(options.results)
    found = idle_outputs([load_grid(study) for study in options.studies], layout)
    if options.yes:
        free(found, layout)
    if options.json:
        files = {str(file): size for file, size in found.items()}
        print(json.dumps({"removed": options.yes, "files": files}, indent=2))
        return
    for file, size in found.items():
        print(f"{size / 1e6:>12,.3f} MB  {file}")
    end = "removed" if options.yes else "can be removed: --yes does it"
    total = f"{sum(found.values()) / 1e6:>12,.3f} MB  of teacher outputs {end}"
    print(total if found else "no teacher outputs are stored that no unfinished run needs")


def _data(options: argparse.Namespace) -> None:
    from kd.jobs.data import prepare_task

    prepare_task(*_grid(options), options.task)


def _tokenise(options: argparse.Namespace) -> None:
    _steps().run_tokenise(*_grid(options), options.task, options.tokens)


def _teacher(options: argparse.Namespace) -> None:
    _steps().run_teacher(*_grid(options), options.teacher, options.threads)


def _outputs(options: argparse.Namespace) -> None:
    _steps().run_outputs(
        *_grid(options), options.teacher, options.tokens, options.need, options.threads
    )


def _distil(options: argparse.Namespace) -> None:
    _steps().run_distil(*_grid(options), options.run, options.threads)


def _evaluate(options: argparse.Namespace) -> None:
    _steps().run_evaluate(*_grid(options), options.run, options.threads)


def _collect(options: argparse.Namespace) -> None:
    from kd.monitor.collect import collect
    from kd.monitor.copies import note_collected

    grid, layout = _grid(options)
    path = layout.study(grid.study.name) / "runs.csv"
    counts = collect(grid, layout, path)
    note_collected(grid, layout)
    print(f"{path}: " + ", ".join(f"{n} {state}" for state, n in counts.items() if n))


def _study_folder(options: argparse.Namespace) -> Path:
    from kd.study.check import load_study

    folder = Layout(options.results).study(load_study(options.study).name)
    if not (folder / "runs.csv").is_file():
        raise UserError(f"{folder / 'runs.csv'}: missing; `kd collect {options.study}` makes it")
    return folder


def _tables(options: argparse.Namespace) -> None:
    from kd.monitor.copies import note_drawn
    from kd.results.tables.write import write_summary, write_tables

    folder = _study_folder(options)
    write_summary(folder / "runs.csv", folder / "summary.csv", Path(options.study))
    write_tables(folder / "runs.csv", folder / "tables", Path(options.study))
    note_drawn(folder, "tables")


def _figures(options: argparse.Namespace) -> None:
    from kd.monitor.copies import note_drawn
    from kd.results.figures.draw import write_figures
    from kd.study.check import load_study

    folder = _study_folder(options)
    asked = load_study(options.study).figures
    drawn = write_figures(folder / "runs.csv", folder / "figures", asked, Path(options.study))
    note_drawn(folder, "figures")
    for name, why in drawn.items():
        print(f"{name} is not drawn: {why}")


def _report(options: argparse.Namespace) -> None:
    from kd.monitor.copies import note_drawn
    from kd.results.report.page import write_report

    folder = _study_folder(options)
    write_report(
        folder / "runs.csv",
        folder / "tables",
        folder / "figures",
        folder / "report.html",
        Path(options.study),
    )
    note_drawn(folder, "report")


def _shapes(options: argparse.Namespace) -> None:
    if options.same is None and options.layers is None:
        named = dict.fromkeys(row.shape for row in NAMED.values())
        shapes = [parse_shape(text) for text in options.shapes] or named
        print(sizes_text((shape, None) for shape in shapes))
    elif options.same and options.layers and options.shapes:
        layers = [int(n) if n.isdecimal() else n for n in options.layers.split(",")]
        iso = [parse_iso({f"iso-{options.same}": s, "layers": layers}) for s in options.shapes]
        print(sizes_text(row for rows in iso for row in rows))
    else:
        raise UserError(
            "shapes: SHAPE, --same and --layers belong together: 6L-384 --same params --layers 2,4"
        )


def _axes(options: argparse.Namespace) -> None:
    from kd.axes.page import chosen, markdown, plain

    print((markdown if options.markdown else plain)(chosen(options.name)))


def _guideline(options: argparse.Namespace) -> None:
    from kd.monitor.copies import note_drawn
    from kd.results.record import load_record
    from kd.results.report.guideline import advice_data, write_guideline

    folder, study = _study_folder(options), Path(options.study)
    if options.json:
        print(json.dumps(advice_data(load_record(folder / "runs.csv", study)), indent=2))
        return
    write_guideline(folder / "runs.csv", folder / "guideline.md", study)
    note_drawn(folder, "guideline")


def _tensorboard(options: argparse.Namespace) -> None:
    from kd.monitor.tensorboard import write_events

    grid, layout = _grid(options)
    out = layout.study(grid.study.name) / "tensorboard"
    print(f"{write_events(grid, layout, out)} histories: tensorboard --logdir {out}")


def _compare(options: argparse.Namespace) -> None:
    from kd.results.compare_records import compare, compare_text, find_record

    a, b = (find_record(text, Path(options.results)) for text in (options.a, options.b))
    found = compare(a, b)
    print(json.dumps(found, indent=2) if options.json else compare_text(found))


def _convert(options: argparse.Namespace) -> None:
    from kd.encoders.convert import convert

    made = convert(options.model, Path(options.out), options.revision)
    print(f"{options.out}: {'; '.join(made)}")


def _schema(options: argparse.Namespace) -> None:
    from kd.results.columns import columns_text, metrics_schema, runs_schema
    from kd.study.schema import study_schema

    if options.of == "columns":
        print(columns_text(), end="")
        return
    schemas = {"study": study_schema, "metrics": metrics_schema, "runs": runs_schema}
    print(json.dumps(schemas[options.of](), indent=2, ensure_ascii=False))
