"""Loads an encoder's tokenizer, and checks that a student's words are its teacher's."""

from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from transformers import AutoTokenizer

from kd.axes.pretrained import SCRATCH
from kd.encoders.exact_tokenizer import exact_tokenizer
from kd.encoders.facts import Encoder
from kd.encoders.from_pretrained import from_pretrained
from kd.encoders.tokenizer_files import TOKENIZER, check_normaliser, words
from kd.runtime.errors import UserError, shown


def encoder_tokenizer(encoder: Encoder) -> Any:
    """The encoder's tokenizer. That of `scratch` has one entry per word of the generated tasks.

    Raises:
        UserError: it cannot be loaded, has no padding, or its files disagree.
    """
    if encoder.location == SCRATCH:
        return _word_tokenizer()
    tokenizer = from_pretrained(AutoTokenizer, encoder)
    if file := _tokenizer_file(encoder):
        check_normaliser(file.parent)
        tokenizer = exact_tokenizer(tokenizer, file)
    if tokenizer.pad_token_id is None:
        raise UserError(
            f"{encoder.location}: its tokenizer has no pad_token; name one in its files"
        )
    return tokenizer


def _tokenizer_file(encoder: Encoder) -> Path | None:
    """The tokenizer.json of an encoder whose tokenizer has been loaded, where it has one."""
    if encoder.revision is None:
        return Path(encoder.location) / TOKENIZER
    found = try_to_load_from_cache(encoder.location, TOKENIZER, revision=encoder.revision)
    return Path(found) if isinstance(found, str) else None


def check_same_words(donor: Encoder, tokens: Path) -> None:
    """Check that a pretrained student has the vocabulary that its tokens were made with.

    Two local folders are compared earlier, when the study is read.

    Raises:
        UserError: it differs; the message names the first token that does.
    """
    donor_words = {number: word for word, number in encoder_tokenizer(donor).get_vocab().items()}
    for number, word in sorted(words(tokens).items()):
        if donor_words.get(number, word) != word:
            raise UserError(
                f"init pretrained:{donor.location} has another vocabulary than the teacher: token "
                f"{number} is {shown(donor_words[number])}, but the teacher's {shown(word)}"
            )


def _word_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    from kd.data.generated import vocabulary

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    ids = {word: index for index, word in enumerate([*special, *vocabulary()])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **dict(zip(names, special, strict=True)),
    )
