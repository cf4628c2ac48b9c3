"""Rule `tokenise`: packed tokens of one task, for one tokenizer and length."""

from pathlib import Path

from kd.axes.pretrained import SCRATCH
from kd.data import tokens
from kd.encoders import build
from kd.encoders.tokenizer import encoder_tokenizer
from kd.jobs.inputs import run_on
from kd.runtime.errors import UserError
from kd.runtime.progress import Progress, step_state
from kd.runtime.seals import check_seal
from kd.study.grid import Grid
from kd.study.paths import Layout
from kd.study.run import Run


def run_tokenise(grid: Grid, layout: Layout, task: str, tokens_id: str) -> None:
    """Tokenise a task's text with the tokenizer that `tokens_id` stands for."""
    task = run_on(grid, task).task
    found = [
        (run, length, extras)
        for run in grid.trained.values()  # an assistant before those that it teaches
        for name, length, extras in (
            (run.tokens_id, run.values["max_length"], layout.extras(run)),
            (run.teacher.tokens_id, run.teacher.recipe["max_length"], []),
        )
        if run.task == task and name == tokens_id
    ]
    if not found:
        raise UserError(f"{grid.study.path}: no run on {task} reads {tokens_id!r}")
    run, length, extras = found[0]
    out = layout.tokens(run.data_id, task, tokens_id)
    with step_state(layout.tokenising(run.data_id, task, tokens_id), "tokenise") as progress:
        if not (progress.waited and out.is_dir()):
            _tokenise(run, length, extras, layout, out, progress)


def _tokenise(
    run: Run, length: int, extras: list[Path], layout: Layout, out: Path, progress: Progress
) -> None:
    encoder = run.teacher.origin
    tokenizer = encoder_tokenizer(encoder)
    config = build.encoder_config(encoder)
    if encoder.location == SCRATCH:
        config.vocab_size = len(tokenizer)  # the embeddings fit the words
        config.pad_token_id = tokenizer.pad_token_id
    elif length > (longest := build.longest_input(config)):
        raise UserError(
            f"{encoder.location}: it reads at most {longest} tokens (its config.json), but "
            f"max_length is {length}"
        )
    source = check_seal(layout.text(run.data_id, run.task))
    tokens.tokenise(source, run.task_row, tokenizer, config, length, out, progress, extras)
