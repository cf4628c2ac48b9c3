"""The files of a submission to the GLUE leaderboard (gluebenchmark.com).

Source of the names and of the numbers of examples: the official test sets and sample submission of
Wang et al. 2018, GLUE (arXiv:1804.07461).
"""

from dataclasses import dataclass

HEADER = "index\tprediction"
LOW, HIGH = 0.0, 5.0  # bounds of the scores of STS-B


@dataclass(frozen=True)
class Sheet:
    """One file and its test set. `answers` is empty if they are scores from 0 to 5."""

    task: str
    answers: tuple[str, ...]  # by class, in the order of the task's labels
    examples: int
    text: tuple[str, ...]  # text columns of the official TSV file
    tsv: tuple[str, ...]  # where a glue_data/ folder has the file, the first that exists
    index: str = "index"  # column of the TSV file that numbers the examples
    config: str = ""  # name on the hub, where it is not the task's
    split: str = "test"  # on the hub

    @property
    def constant(self) -> str:
        """The answer to every example of a task without a student."""
        return self.answers[0] if self.answers else f"{(LOW + HIGH) / 2}"


_PAIR = ("sentence1", "sentence2")
_BINARY = ("0", "1")
_ENTAILMENT = ("entailment", "not_entailment")
_NLI = ("entailment", "neutral", "contradiction")

SHEETS: dict[str, Sheet] = {
    "CoLA.tsv": Sheet("cola", _BINARY, 1063, ("sentence",), ("CoLA/test.tsv",)),
    "SST-2.tsv": Sheet("sst2", _BINARY, 1821, ("sentence",), ("SST-2/test.tsv",)),
    "MRPC.tsv": Sheet("mrpc", _BINARY, 1725, ("#1 String", "#2 String"), ("MRPC/test.tsv",)),
    "STS-B.tsv": Sheet("stsb", (), 1379, _PAIR, ("STS-B/test.tsv",)),
    "QQP.tsv": Sheet(
        "qqp", _BINARY, 390965, ("question1", "question2"), ("QQP/test.tsv",), index="id"
    ),
    "MNLI-m.tsv": Sheet(
        "mnli", _NLI, 9796, _PAIR, ("MNLI/test_matched.tsv",), split="test_matched"
    ),
    "MNLI-mm.tsv": Sheet(
        "mnli", _NLI, 9847, _PAIR, ("MNLI/test_mismatched.tsv",), split="test_mismatched"
    ),
    "QNLI.tsv": Sheet("qnli", _ENTAILMENT, 5463, ("question", "sentence"), ("QNLI/test.tsv",)),
    "RTE.tsv": Sheet("rte", _ENTAILMENT, 3000, _PAIR, ("RTE/test.tsv",)),
    "WNLI.tsv": Sheet("wnli", _BINARY, 146, _PAIR, ("WNLI/test.tsv",)),
    "AX.tsv": Sheet(
        "mnli",
        _NLI,
        1104,
        _PAIR,
        ("diagnostic/diagnostic.tsv", "AX/diagnostic.tsv"),
        config="ax",
    ),
}
