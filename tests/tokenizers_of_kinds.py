"""Small tokenizers of every kind, trained on a few sentences."""

from pathlib import Path

from helpers import SHAPE, tiny_config
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import trainers as train

from kd.encoders.exact_tokenizer import PROBES
from kd.encoders.facts import Encoder

TEXTS = ["Berlin Paris berlin paris", "Caf\u00e9 cafe \u5317\u4eac 2020 don't", *PROBES] * 4


BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def saved(folder: Path, arch: str, tokenizer: Tokenizer) -> Encoder:
    """A folder with config.json and tokenizer.json alone."""
    folder.mkdir()
    config = tiny_config(arch)
    config.vocab_size = tokenizer.get_vocab_size()
    config.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return Encoder(str(folder), None, arch, SHAPE, config.vocab_size, None, ())


def wordpiece(**normaliser: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(**normaliser)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(TEXTS, train.WordPieceTrainer(special_tokens=BERT))
    return with_ends(tokenizer, "[CLS]", "[SEP]")


def byte_level(prefix: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TEXTS, train.BpeTrainer(special_tokens=ROBERTA))
    return with_ends(tokenizer, "<s>", "</s>")


def unigram(*special: str) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = train.UnigramTrainer(special_tokens=list(special), unk_token="<unk>", vocab_size=90)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return with_ends(tokenizer, *special[:2])


def with_ends(tokenizer: Tokenizer, first: str, last: str) -> Tokenizer:
    ids = [(token, tokenizer.token_to_id(token)) for token in (first, last)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", pair=f"{first} $A {last} $B:1 {last}:1", special_tokens=ids
    )
    return tokenizer
