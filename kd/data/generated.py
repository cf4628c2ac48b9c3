"""Small generated tasks like those of GLUE, for a demo and for tests without a network.

The label depends only on the text, without noise. A word such as "not" changes the meaning of the
words near it. So a bag of words gets some labels right, and the others need depth. Words are
separated by spaces.
"""

import hashlib
from collections.abc import Callable
from random import Random
from typing import Any

from kd.runtime.errors import UserError, unknown

Draw = tuple[str, str | None, float | None]  # both sentences and the label, None for no row
_words = str.split
SPLITS = ("train", "dev", "test")

# toy-single
NOUNS = _words("film plot cast music ending script dialogue pace humour scenery")
STRENGTH = {
    **dict.fromkeys(_words("superb brilliant wonderful dazzling gripping"), 3),
    **dict.fromkeys(_words("fine pleasant decent tidy clever"), 1),
    **dict.fromkeys(_words("dull plain clumsy tame weak"), -1),
    **dict.fromkeys(_words("awful dreadful terrible hideous boring"), -3),
}
DEGREE = {"": 2, "slightly": 1, "rather": 1, "very": 4, "truly": 4}
SPEAKERS = _words("critics viewers reporters people friends")
REPORT = {"agreed": 1, "thought": 1, "denied": -1}

# toy-pair
NAMES = _words("anna ben carl dora emil fay gus hana ivan jane")
NUMBERS = _words("one two three four five six seven eight nine")
GAINS = _words("found won earned received")
LOSSES = _words("lost spent dropped paid")

# toy-similarity
SIZES = _words("small big tiny huge")
COLOURS = _words("red blue green black white")
OBJECTS = _words("boxes keys lamps cups chairs balls")
LEADS = ("", "we saw ", "there are ")
TAILS = ("", " today", " in the garden")
_OTHERS = _words("afresh almost and are but garden in not saw that the then there today was we")
_LISTS = (NOUNS, STRENGTH, DEGREE, SPEAKERS, REPORT, NAMES, NUMBERS, GAINS, LOSSES, SIZES, COLOURS)


def _sign(value: int) -> int | None:
    """1 for values above 0, 0 for values below it, None for -1 to 1, which make no row."""
    return int(value > 0) if abs(value) >= 2 else None


def _phrase(rng: Random) -> tuple[list[str], int]:
    """['not'] [degree] adjective: degree x strength, times -1 after 'not'."""
    adjective, degree = rng.choice(list(STRENGTH)), rng.choice(list(DEGREE))
    negated = rng.random() < 0.2
    words = ["not"] * negated + [degree] * bool(degree) + [adjective]
    return words, STRENGTH[adjective] * DEGREE[degree] * (-1 if negated else 1)


def _clause(rng: Random) -> tuple[list[str], int]:
    """[speakers verb 'that'] 'the' noun 'was' phrase ['and' phrase]: the sum, x -1 if denied."""
    words, value = _phrase(rng)
    if rng.random() < 0.3:
        more, other = _phrase(rng)
        words, value = [*words, "and", *more], value + other
    words = ["the", rng.choice(NOUNS), "was", *words]
    if rng.random() < 0.4:
        verb = rng.choice(list(REPORT))
        words, value = [rng.choice(SPEAKERS), verb, "that", *words], value * REPORT[verb]
    return words, value


def _single(rng: Random) -> Draw:
    """A review, clause ['but' clause]: is it favourable? Only the part after 'but' counts."""
    words, value = _clause(rng)
    if rng.random() < 0.5:
        more, value = _clause(rng)
        words += ["but", *more]
    return " ".join(words), None, _sign(value)


def _events(rng: Random) -> tuple[list[str], int]:
    """event ['and' event], event = ['almost'] verb number: gains minus losses; 'almost' is 0."""
    words, value = list[str](), 0
    for _ in range(rng.randrange(1, 3)):
        verb, number, almost = rng.choice(GAINS + LOSSES), rng.randrange(9), rng.random() < 0.2
        words += ["and"] * bool(words) + ["almost"] * almost + [verb, NUMBERS[number]]
        value += 0 if almost else (number + 1) * (1 if verb in GAINS else -1)
    return words, value


def _account(rng: Random) -> tuple[list[str], int]:
    """name events ['then' 'afresh' events]: only the part after 'afresh' counts."""
    words, value = _events(rng)
    if rng.random() < 0.4:
        more, value = _events(rng)
        words += ["then", "afresh", *more]
    return [rng.choice(NAMES), *words], value


def _pair(rng: Random) -> Draw:
    """Two accounts: does the second person end with more than the first, by at least two?"""
    (first, before), (second, after) = _account(rng), _account(rng)
    return " ".join(first), " ".join(second), _sign(after - before)


def _listing(rng: Random, scene: list[list[str]]) -> str:
    """[lead] things 'and' things [tail], things = size colour object."""
    core = " and ".join(" ".join(things) for things in rng.sample(scene, 2))
    return rng.choice(LEADS) + core + rng.choice(TAILS)


def _similarity(rng: Random) -> Draw:
    """Two listings of the same objects: how many (0 to 4) of the sizes and colours are equal?"""
    first = [[rng.choice(SIZES), rng.choice(COLOURS), thing] for thing in rng.sample(OBJECTS, 2)]
    second = [list(things) for things in first]
    kept = rng.randrange(5)
    for slot in rng.sample(range(4), 4 - kept):
        things, kind = second[slot // 2], slot % 2
        things[kind] = rng.choice([word for word in (SIZES, COLOURS)[kind] if word != things[kind]])
    return _listing(rng, first), _listing(rng, second), 5 * kept / 4


_MAKERS: dict[str, tuple[Callable[[Random], Draw], tuple[float, ...]]] = {
    "toy-single": (_single, (0, 1)),
    "toy-pair": (_pair, (0, 1)),
    "toy-similarity": (_similarity, (0.0, 1.25, 2.5, 3.75, 5.0)),
}
# Numbers of different first sentences by split. Other tasks have more than a study may ask for.
MOST = {"toy-similarity": {"train": 64_245, "dev": 21_809, "test": 21_946}}


def _split_of(sentence: str) -> str:
    """The split that may have this first sentence, by its hash. Training gets 60 %."""
    digit = hashlib.sha256(sentence.encode()).digest()[0] % 10
    return "dev" if digit < 2 else "test" if digit < 4 else "train"


def check_size(task: str, split: str, size: int) -> None:
    """Check that a split of a task has `size` different first sentences.

    Raises:
        UserError: it has fewer.
    """
    most = MOST.get(task, {}).get(split, size)
    if size > most:
        raise UserError(
            f"data.{split}: found {size}, allowed: at most {most}, because {task} has no more"
        )


def generate(task: str, split: str, size: int, seed: int = 0) -> list[dict[str, Any]]:
    """`size` rows (sentence1, sentence2 or None, label) of `task`, with labels in turn.

    A larger size begins with the rows of a smaller one. No first sentence occurs twice in a split
    or in two splits, whatever their seeds.

    Raises:
        UserError: there is no such task or split, or the split has fewer first sentences.
    """
    if task not in _MAKERS:
        raise unknown("synthetic task", task, _MAKERS)
    if split not in SPLITS:
        raise unknown(f"split of {task}", split, SPLITS)
    check_size(task, split, size)
    draw, labels = _MAKERS[task]
    rng = Random(f"{task} {split} {seed}")
    rows: dict[str, dict[str, Any]] = {}
    while len(rows) < size:
        one, two, label = draw(rng)
        if label == labels[len(rows) % len(labels)] and one not in rows and _split_of(one) == split:
            rows[one] = {"sentence1": one, "sentence2": two, "label": label}
    return list(rows.values())


def vocabulary() -> list[str]:
    """Every word that any task can produce, sorted."""
    return sorted({word for words in (*_LISTS, OBJECTS, _OTHERS) for word in words if word})
