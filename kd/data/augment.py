"""Replaces words of a text by others (TinyBERT, arXiv:1909.10351, algorithm 1)."""

import random
import re
from collections.abc import Iterator, Sequence

from kd.data.transfer import Texts

# Letters, with an apostrophe inside. Numbers, signs and what is between words stay as they are.
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")

Candidates = Sequence[Sequence[str]]  # of each word of a text, those that may take its place


def word_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each word in a text."""
    return [match.span() for match in _WORD.finditer(text)]


def is_word(text: str) -> bool:
    """Whether a text is one word and nothing else."""
    return _WORD.fullmatch(text) is not None


def augmented(
    texts: Texts,
    candidates: Sequence[Candidates],
    factor: int,
    probability: float,
    seed: str,
) -> Iterator[Texts]:
    """Up to `factor` variants of an example, different from it and from each other.

    In each round, each word of all texts is replaced with a probability, by one of its candidates.
    Fewer rounds give the first variants of more rounds. A round that changes nothing, or gives a
    variant again, adds none.

    Args:
        texts: one, or two of a pair.
        candidates: of the words of each text (`word_spans`); a word without any stays.
        factor: rounds.
        probability: of a word.
        seed: decides the draws.
    """
    draws = random.Random(seed)
    seen = {texts}
    for _ in range(factor):
        found = tuple(
            _replaced(text, options, probability, draws)
            for text, options in zip(texts, candidates, strict=True)
        )
        if found not in seen:
            seen.add(found)
            yield found


def _replaced(text: str, options: Candidates, probability: float, draws: random.Random) -> str:
    parts, end = list[str](), 0
    for (start, stop), words in zip(word_spans(text), options, strict=True):
        word = text[start:stop]
        # Both are drawn for every word, so that one word's candidates change no other word's fate.
        drawn, choice = draws.random(), draws.random()
        if drawn <= probability and words:
            new = words[int(choice * len(words))]
            word = new[0].upper() + new[1:] if word[0].isupper() else new
        parts += [text[end:start], word]
        end = stop
    return "".join([*parts, text[end:]])
