"""Saves a model as a folder that plain transformers loads."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedModel

from kd.runtime.seals import sealed_dir
from kd.runtime.startup import no_compiler, one_machine


def save_model(model: PreTrainedModel, tokenizer_folder: Path, out: Path) -> None:
    """Write weights, config and tokenizer to `out`, sealed; the tokenizer is a copy."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder, trust_remote_code=False)
    with sealed_dir(out) as folder:
        with no_compiler(), one_machine():
            model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
