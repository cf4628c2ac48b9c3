"""The command that makes a model to ship."""

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kd.cli import retrain, submission
from kd.cli.arguments import Commands, add_options, command
from kd.runtime.errors import UserError, nearest
from kd.runtime.files import read_json
from kd.runtime.words import count
from kd.study.assistant_keys import first_teacher
from kd.study.find import find_study
from kd.study.paths import RECORD, SPEC, Layout
from kd.study.plugins import copies

_FACTS = "export.json"  # the file by which an export is known

_EXPORT = """\
Make a folder to ship: weights, tokenizer, ONNX in fp32 and int8, model card

  kd export STUDY --best        the best student of each task of a study
  kd export RUN OUT             one run by its id, to the folder OUT

The folder has model.safetensors, config.json and the tokenizer for `from_pretrained`,
onnx/model.onnx, onnx/model_quantized.onnx, README.md (the model card), citations.bib, and
export.json with all that was measured. The logits of ONNX fp32 must equal PyTorch's to 1e-4 on the
dev split, or nothing is written; the dev score of int8 and the latency of each form are measured.
It needs onnx, onnxscript and onnxruntime: pip install 'kd-grid[export]'
"""


def add(commands: Commands) -> None:
    """Add the commands of this module."""
    export = command(commands, "export", _export, _EXPORT)
    export.add_argument("what", metavar="STUDY|RUN", help="a study with --best, or the id of a run")
    export.add_argument(
        "out", metavar="OUT", nargs="?", help="the folder to make (results/studies/NAME/export)"
    )
    export.add_argument("--best", action="store_true", help="the best student of each task")
    export.add_argument("--task", action="append", metavar="TASK", help="only of this task")
    add_options(export, "--threads", "--results")
    retrain.add(commands)
    submission.add(commands)


def _export(options: argparse.Namespace) -> None:
    layout = Layout(options.results)
    if options.best:
        _export_best(options, layout)
    elif options.out is None:
        raise UserError("export: a run needs the folder to make: kd export RUN OUT")
    elif options.task:
        raise UserError("export: --task goes with --best: a run has one task")
    else:
        run = layout.runs / options.what
        if not run.is_dir():
            known = [path.name for path in (layout.runs).glob("*")]
            raise UserError(
                f"export: no run {options.what!r} in {layout.runs}{nearest(options.what, known)}; "
                f"for a study, add --best and leave {options.out} out"
            )
        _make({Path(): (run, None, None)}, Path(options.out), options)


def _export_best(options: argparse.Namespace, layout: Layout) -> None:
    from kd.results.best_students import best_of
    from kd.results.record import load_record
    from kd.study.check import load_study

    study = find_study(options.what)
    folder = layout.study(load_study(study).name)
    record = load_record(folder / RECORD, study)
    best = best_of(record, study, options.task)
    rows = {row["run"]: row for row in record.every.to_dict("records")}
    wanted = {
        Path(task): (layout.runs / pick.run, pick, rows[pick.run]) for task, pick in best.items()
    }
    for task, pick in best.items():
        cells = count(pick.cells, "cell")
        print(f"{task}: {pick.run}, the best of {cells} (mean {100 * pick.mean:.1f})")
        if pick.remark:
            print(f"warning: {pick.remark}", file=sys.stderr)
    _make(wanted, Path(options.out) if options.out else folder / "export", options)


def _plugins_in(run: Path) -> list[str]:
    """The hashes of the plugins that a run uses."""
    hashes = read_json(run / SPEC).get("plugins", []) if (run / SPEC).is_file() else []
    return [str(sha256) for sha256 in hashes]


def _check_replaceable(folder: Path) -> None:
    """Check that a folder does not exist, is empty, or is an earlier export, which is replaced."""
    if folder.is_dir() and ((folder / _FACTS).is_file() or not any(folder.iterdir())):
        return
    if folder.exists():
        raise UserError(f"{folder}: exists, and is no earlier export; give another folder")


def _make(
    wanted: dict[Path, tuple[Path, Any, Any]], out: Path, options: argparse.Namespace
) -> None:
    """Make `out`, or each of the folders below it that are wanted, with one model; or none."""
    from kd.runtime import startup

    startup.prepare()
    from kd.axes.citations import bibtex
    from kd.axes.plugins import activate
    from kd.jobs.export import export
    from kd.results.report.model_card import model_card
    from kd.runtime.files import atomic_dir
    from kd.study.cited import citations_of_row

    for place in wanted:
        _check_replaceable(out / place)
    if Path() not in wanted and (out / _FACTS).is_file():
        raise UserError(f"{out}: has the export of one run; give another folder")
    with ExitStack() as stack:
        folders = [stack.enter_context(atomic_dir(out / place)) for place in wanted]
        for folder, (place, (run, best, row)) in zip(folders, wanted.items(), strict=True):
            activate(copies(run, _plugins_in(run)))  # those that it was trained with
            facts = export(run, Path(options.results), folder, options.threads)
            works = citations_of_row(
                row or {k: str(v) for k, v in facts["record"].items()},
                [(first_teacher(facts["spec"]["teacher"]).get("model", ""), facts["arch"])],
            )
            name = (out / place).name
            (folder / "citations.bib").write_text(bibtex(works), encoding="utf-8")
            (folder / "README.md").write_text(
                model_card(facts, best, works, name), encoding="utf-8"
            )
            (folder / _FACTS).write_text(json.dumps(facts, indent=2) + "\n")
    names = ", ".join(str(place) for place in wanted if place.name)
    print(f"exported to {out}" + (f": {names}" if names else ""))
