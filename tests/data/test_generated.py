import hashlib
import re
from collections import Counter
from itertools import permutations, product

import pytest

from kd.axes import tasks
from kd.axes.fields import DATA_FIELDS
from kd.data import generated
from kd.data.generated import SPLITS, generate, vocabulary
from kd.runtime.errors import UserError
from kd.runtime.hashes import canonical_json

TASKS = [name for name, row in tasks.TASKS.items() if row.synthetic]

STRENGTH = {
    "superb brilliant wonderful dazzling gripping": 3,
    "fine pleasant decent tidy clever": 1,
    "dull plain clumsy tame weak": -1,
    "awful dreadful terrible hideous boring": -3,
}
NUMBERS = ["naught", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def text(row):
    return f"{row['sentence1']} {row['sentence2'] or ''}".split()


def sentiment(sentence):
    """The value of a review, read from its text: half points stand for slight degrees."""
    clause = sentence.split(" but ")[-1]
    total = 0.0
    for phrase in clause.split(" was ")[1].split(" and "):
        *modifiers, adjective = phrase.split()
        value = next(STRENGTH[words] for words in STRENGTH if adjective in words.split())
        for word in modifiers:
            value *= {"not": -1, "slightly": 0.5, "rather": 0.5, "very": 2, "truly": 2}[word]
        total += value
    return -total if " denied " in clause else total


def balance(sentence):
    """What one person gained in the end, read from the text."""
    _, events = sentence.split(" ", 1)
    total = 0
    for event in events.split(" then afresh ")[-1].split(" and "):
        *almost, verb, number = event.split()
        sign = 1 if verb in {"found", "won", "earned", "received"} else -1
        total += 0 if almost else sign * NUMBERS.index(number)
    return total


def scene(sentence):
    """The (attribute, objects) pairs that a list of things binds."""
    core = re.sub(r"^(we saw|there are) | (today|in the garden)$", "", sentence)
    things = [phrase.split() for phrase in core.split(" and ")]
    return {(word, thing) for *attributes, thing in things for word in attributes}


EVALUATORS = {
    "toy-single": lambda a, b: int(sentiment(a) > 0),
    "toy-pair": lambda a, b: int(balance(b) > balance(a)),
    "toy-similarity": lambda a, b: 5 * len(scene(a) & scene(b)) / 4,
}


@pytest.mark.parametrize(
    ("task", "digest"),
    [
        ("toy-single", "b4ed918312ce"),
        ("toy-pair", "48e313ae3936"),
        ("toy-similarity", "2773b8f8354d"),
    ],
)
def test_rows_are_the_same_everywhere(task, digest):
    content = canonical_json(generate(task, "train", 50, seed=1))
    assert hashlib.sha256(content.encode()).hexdigest()[:12] == digest


@pytest.mark.parametrize("task", TASKS)
def test_seed_and_split_matter_and_size_only_extends(task):
    rows = generate(task, "train", 40)
    assert rows == generate(task, "train", 90)[:40]
    assert rows != generate(task, "train", 40, seed=1)
    assert rows != generate(task, "dev", 40)


@pytest.mark.parametrize("task", TASKS)
def test_no_first_sentence_is_in_two_splits_or_comes_twice(task):
    sentences = {
        (split, seed): [row["sentence1"] for row in generate(task, split, 200, seed)]
        for split in SPLITS
        for seed in (0, 1)
    }
    assert all(len(set(rows)) == 200 for rows in sentences.values())
    for (split, _), rows in sentences.items():
        for (other, _), others in sentences.items():
            assert split == other or not set(rows) & set(others)


@pytest.mark.parametrize("task", TASKS)
def test_labels_follow_from_the_text_alone(task):
    for row in generate(task, "dev", 600):
        assert row["label"] == EVALUATORS[task](row["sentence1"], row["sentence2"])


@pytest.mark.parametrize("task", TASKS)
def test_labels_are_balanced_and_lengths_vary(task):
    rows = generate(task, "train", 600)
    labels = [row["label"] for row in rows]
    counts = [labels.count(label) for label in set(labels)]
    assert max(counts) - min(counts) <= 1
    assert (min(labels), max(labels)) == ((0, 5) if task == "toy-similarity" else (0, 1))
    assert all((row["sentence2"] is None) == (task == "toy-single") for row in rows)
    lengths = [len(text(row)) for row in rows]
    assert 10 <= sum(lengths) / len(lengths) <= 20
    assert max(lengths) - min(lengths) >= 8


def first_sentences_of_similarity():
    """All that there are, made from the words alone."""
    things = [" ".join(words) for words in product(generated.SIZES, generated.COLOURS)]
    for one, two in permutations(generated.OBJECTS, 2):
        for a, b, lead, tail in product(things, things, generated.LEADS, generated.TAILS):
            yield f"{lead}{a} {one} and {b} {two}{tail}"


def test_the_table_has_as_many_first_sentences_as_there_are():
    splits = Counter(map(generated._split_of, set(first_sentences_of_similarity())))
    assert splits == generated.MOST["toy-similarity"]
    made = {row["sentence1"] for row in generate("toy-similarity", "dev", 500)}
    assert made <= set(first_sentences_of_similarity())


def test_the_other_tasks_have_more_than_can_be_asked_for():
    most = DATA_FIELDS["synthetic"]["train"].schema["anyOf"][0]["maximum"]
    phrases = 2 * len(generated.DEGREE) * len(generated.STRENGTH)
    clauses = len(generated.NOUNS) * phrases**2  # those of two phrases, said by nobody
    event = 2 * len(generated.GAINS + generated.LOSSES) * len(generated.NUMBERS)
    accounts = len(generated.NAMES) * event**2
    # "... but ..." with either label: half of them each; "... then afresh ...": any label.
    for sentences in (clauses**2 // 2, accounts * event**2):
        assert sentences * 0.2 > 4 * most
    assert set(TASKS) - set(generated.MOST) == {"toy-single", "toy-pair"}


@pytest.mark.parametrize("split", SPLITS)
def test_more_than_there_are_is_a_sentence_before_anything_is_drawn(split):
    most = generated.MOST["toy-similarity"][split]
    text = f"data.{split}: found {most + 1}, allowed: at most {most}, because"
    with pytest.raises(UserError, match=f"^{re.escape(text)} toy-similarity has no more$"):
        generate("toy-similarity", split, most + 1)
    generated.check_size("toy-similarity", split, most)


def test_vocabulary_is_exactly_the_words_that_come_up():
    words = {word for task in TASKS for row in generate(task, "train", 1200) for word in text(row)}
    assert vocabulary() == sorted(words)
    assert all(word.isalpha() and word.islower() for word in words)


def test_unknown_names_say_what_is_allowed():
    with pytest.raises(UserError, match=r"'toy-singel', allowed: .*did you mean toy-single"):
        generate("toy-singel", "train", 1)
    with pytest.raises(UserError, match="split of toy-pair: found 'validation', allowed: train"):
        generate("toy-pair", "validation", 1)
