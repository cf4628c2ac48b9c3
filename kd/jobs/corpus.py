"""Rule `corpus`: packed tokens of a stage's corpus, for one tokenizer and length."""

from pathlib import Path

from kd.data.corpus import MANIFEST
from kd.data.corpus_text import corpus_texts
from kd.data.corpus_tokens import has_tokens, pack
from kd.encoders import build
from kd.encoders.tokenizer import encoder_tokenizer
from kd.runtime.errors import UserError
from kd.runtime.files import remove_leftovers
from kd.runtime.progress import Progress, step_state
from kd.study.grid import Grid
from kd.study.paths import Layout
from kd.study.stage import Stage


def run_corpus(grid: Grid, layout: Layout, corpus_id: str, tokens_id: str) -> None:
    """Pack the corpus of that name with the tokenizer that `tokens_id` stands for."""
    found = [
        stage
        for stage in grid.stages.values()
        if (stage.corpus_id, stage.tokens_id) == (corpus_id, tokens_id)
    ]
    if not found:
        raise UserError(f"{grid.study.path}: no stage reads {tokens_id!r} of {corpus_id!r}")
    with step_state(layout.packing(found[0]), "corpus") as progress:
        if not (progress.waited and (layout.corpus(found[0]) / MANIFEST).is_file()):
            _pack(found[0], layout.corpus(found[0]), progress)


def packed_corpus(layout: Layout, stage: Stage) -> Path:
    """The folder of a stage's packed tokens, which are made again where `kd free` removed them."""
    folder = layout.corpus(stage)
    if not has_tokens(folder):
        with step_state(layout.packing(stage), "corpus") as progress:
            if not has_tokens(folder):
                _pack(stage, folder, progress)
    return folder


def _pack(stage: Stage, out: Path, progress: Progress) -> None:
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    tokenizer, config = encoder_tokenizer(stage.encoder), build.encoder_config(stage.encoder)
    length = stage.values["max_length"]
    if length > (longest := build.longest_input(config)):
        raise UserError(
            f"{stage.encoder.location}: it reads at most {longest} tokens (its config.json), but "
            f"stages.{stage.name}.max_length is {length}"
        )
    progress.start("reading the corpus, up to a thousand lines a step", 0)
    try:
        pack(
            corpus_texts(stage.corpus),
            tokenizer,
            config,
            length,
            stage.corpus.held_out,
            out,
            progress.advance,
        )
    except UserError as error:  # or Transient, which is worth another try
        raise type(error)(f"stages.{stage.name}: {error}") from error
