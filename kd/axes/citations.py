"""The sources of the tables of this folder as BibTeX, from `citations.bib`.

A source text names a work by its arXiv number, or by one of the names under its `keywords`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("citations.bib")  # part of the package: a wheel has it too
_ENTRY = re.compile(r"^@(?P<kind>[a-z]+)\{(?P<key>[^,]+),\n(?P<fields>.*?)^\}\n", re.M | re.S)
_FIELD = re.compile(r"^  (?P<name>[a-z]+) = \{(?P<value>.*)\},$", re.M)
_ARXIV = re.compile(r"\b\d{4}\.\d{4,5}\b")

# Tasks and encoders have no source text in their own tables. Tasks that are not here are
# generated ones, or a user's own.
GLUE = "GLUE (arXiv:1804.07461)"
ASSISTANTS = "Mirzadeh et al. 2020 (arXiv:1902.03393)"
TASK_SOURCES: dict[str, str] = {
    "cola": "Warstadt et al. 2019 (arXiv:1805.12471)",
    "sst2": "Socher et al. 2013",
    "mrpc": "Dolan and Brockett 2005",
    "stsb": "Cer et al. 2017 (arXiv:1708.00055)",
    "qqp": "Iyer et al. 2017",
    "mnli": "Williams et al. 2018 (arXiv:1704.05426)",
    "qnli": "Rajpurkar et al. 2016 (arXiv:1606.05250)",
    "rte": "Dagan et al. 2006, Bar Haim et al. 2006, Giampiccolo et al. 2007, "
    "Bentivogli et al. 2009",
    "wnli": "Levesque et al. 2011",
}
# Published weights, by the start of their hub id.
MODEL_SOURCES: dict[str, str] = {
    "google-bert/": "BERT (arXiv:1810.04805)",
    "FacebookAI/roberta-": "RoBERTa (arXiv:1907.11692)",
    "FacebookAI/xlm-roberta-": "XLM-R (arXiv:1911.02116)",
    "distilbert/": "DistilBERT (arXiv:1910.01108)",
    "google/electra-": "ELECTRA (arXiv:2003.10555)",
    "albert/": "ALBERT (arXiv:1909.11942)",
    "answerdotai/ModernBERT-": "ModernBERT (arXiv:2412.13663)",
    "microsoft/deberta-v3-": "DeBERTaV3 (arXiv:2111.09543)",
    "microsoft/mpnet-": "MPNet (arXiv:2004.09297)",
    "microsoft/MiniLM-": "MiniLM (arXiv:2002.10957)",
    "nreimers/MiniLM-": "MiniLM (arXiv:2002.10957)",
    "sentence-transformers/all-MiniLM-": "MiniLM (arXiv:2002.10957)",
    "google/bert_uncased_L-": "Turc et al. 2019 (arXiv:1908.08962)",
}
# The kinds of encoder, for what is not in MODEL_SOURCES: a folder, `scratch`, other hub models.
ARCH_SOURCES: dict[str, str] = {
    "bert": "BERT (arXiv:1810.04805)",
    "roberta": "RoBERTa (arXiv:1907.11692)",
    "xlm-roberta": "XLM-R (arXiv:1911.02116)",
    "camembert": "CamemBERT (arXiv:1911.03894)",
    "distilbert": "DistilBERT (arXiv:1910.01108)",
    "electra": "ELECTRA (arXiv:2003.10555)",
    "albert": "ALBERT (arXiv:1909.11942)",
    "modernbert": "ModernBERT (arXiv:2412.13663)",
    "deberta": "DeBERTa (arXiv:2006.03654)",
    "deberta-v2": "DeBERTa (arXiv:2006.03654)",
    "mpnet": "MPNet (arXiv:2004.09297)",
}


@dataclass(frozen=True)
class Citation:
    """One work: its key and its fields, values as BibTeX writes them."""

    key: str
    kind: str
    fields: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        lines = [f"  {name} = {{{value}}},\n" for name, value in self.fields]
        return f"@{self.kind}{{{self.key},\n{''.join(lines)}}}\n"

    def __getitem__(self, field: str) -> str:
        return dict(self.fields).get(field, "")

    @property
    def names(self) -> list[str]:
        """The names by which source texts cite it without an arXiv number."""
        return [name for name in self["keywords"].split("; ") if name]


@cache
def citations() -> dict[str, Citation]:
    """All works of citations.bib, by key."""
    text = FILE.read_text(encoding="utf-8")
    return {
        match["key"]: Citation(match["key"], match["kind"], tuple(_FIELD.findall(match["fields"])))
        for match in _ENTRY.finditer(text)
    }


@cache
def cited_in(source: str) -> tuple[Citation, ...]:
    """The works that a source text names, in the order of the text."""
    numbers = {number: match.start() for match in _ARXIV.finditer(source) for number in [match[0]]}
    places: dict[str, int] = {}
    for work in citations().values():
        found = [numbers[work["eprint"]]] if work["eprint"] in numbers else []
        for name in work.names:
            # MiniLM is not named by MiniLMv2, nor BERT-EMD by a longer word.
            found += [m.start() for m in re.finditer(rf"(?<![\w-]){re.escape(name)}\b", source)]
        if found:
            places[work.key] = min(found)
    return tuple(citations()[key] for key in sorted(places, key=lambda key: places[key]))


def bibtex(works: Iterable[Citation]) -> str:
    """The text of a .bib file of these works, each once, sorted by key."""
    return "\n".join(str(work) for work in sorted(set(works), key=lambda work: work.key))
