"""One table as CSV, Markdown and LaTeX."""

import textwrap
from dataclasses import dataclass, field

import pandas as pd
from tabulate import tabulate

_LINES = 45  # of rows and notes that fit a page
_NOTE = 110  # letters of a note in a line
_WIDE = 34  # letters of a label before it is broken in LaTeX
_TEX = {char: f"\\{char}" for char in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "–": "--",
    "×": r"$\times$",
    "−": "$-$",
    "²": r"$^2$",
    "η": r"$\eta$",
    "ω": r"$\omega$",
    "≥": r"$\geq$",
    "·": r"$\cdot$",
    "→": r"$\to$",
}
PREAMBLE = r"\usepackage{booktabs,graphicx}"


@dataclass
class Table:
    """Text cells, with the (row, column) of those in bold and underlined, and what a reader must
    know. `first` orders the rows by importance, for where not all fit."""

    caption: str
    header: list[str]
    rows: list[list[str]]
    labels: int = 1  # leading columns that are text
    bold: set[tuple[int, int]] = field(default_factory=set)
    underlined: set[tuple[int, int]] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    first: list[int] | None = None

    def csv(self) -> str:
        """The cells as plain text. summary.csv has their numbers."""
        return pd.DataFrame(self.rows, columns=self.header).to_csv(index=False).replace("−", "-")

    def markdown(self) -> str:
        """Caption, a pipe table, notes."""

        def cell(i: int, j: int, text: str) -> str:
            text = text.replace("|", r"\|").replace("*", r"\*")
            text = f"<u>{text}</u>" if (i, j) in self.underlined else text
            return f"**{text}**" if (i, j) in self.bold else text

        cells = [[cell(i, j, c) for j, c in enumerate(row)] for i, row in enumerate(self.rows)]
        body = tabulate(cells, self.header, tablefmt="pipe", disable_numparse=True)
        return "\n\n".join([self.caption, body, *(f"- {note}" for note in self.notes)]) + "\n"

    def latex(self) -> str:
        """A float with booktabs rules, shrunk to the width of the text where it is wider.

        One that spans both columns of a paper where it is wide; the preamble needs PREAMBLE. Of
        more rows than fit a page the most important are shown, and a note says so.
        """
        wide = len(self.header) > 5
        kind, width = ("table*", r"\textwidth") if wide else ("table", r"\columnwidth")
        align = "l" * self.labels + "r" * (len(self.header) - self.labels)
        notes = [tex(note) for note in self.notes]
        kept = self._fitting(wide)
        if len(kept) < len(self.rows):
            notes.append(f"{len(self.rows) - len(kept)} more rows are in the CSV file.")
        body = [
            " & ".join(self._latex_cell(i, j) for j in range(len(self.header))) + r" \\"
            for i in kept
        ]
        head = " & ".join(map(tex, self.header)) + r" \\"
        return "\n".join(
            [
                rf"\begin{{{kind}}}",
                r"\centering\small" if kind == "table" else r"\centering\footnotesize",
                r"\setlength{\tabcolsep}{3pt}",
                rf"\caption{{{tex(self.caption)}}}",
                rf"\resizebox{{\ifdim\width>{width}{width}\else\width\fi}}{{!}}{{%",
                rf"\begin{{tabular}}{{{align}}}",
                *(r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}}"),
                *([rf"\par\smallskip\parbox{{{width}}}{{\scriptsize"] if notes else []),
                *(rf"{note}\par" for note in notes),
                *(["}"] if notes else []),
                rf"\end{{{kind}}}",
                "",
            ]
        )

    def _fitting(self, wide: bool) -> list[int]:
        """The most important rows that fit on a page with the notes, in their order."""
        letters = _NOTE if wide else _NOTE // 2
        left = float(_LINES) - sum(1 + len(note) // letters for note in self.notes) / 2
        kept = []
        for i in self.first or range(len(self.rows)):
            left -= max(1, *(len(_broken(text)) for text in self.rows[i][: self.labels]), 1)
            if left < 0:
                break
            kept.append(i)
        return sorted(kept)

    def _latex_cell(self, i: int, j: int) -> str:
        text = self.rows[i][j]
        if j < self.labels and len(_broken(text)) > 1:
            stacked = r" \\ ".join(map(tex, _broken(text)))
            return rf"\shortstack[l]{{{stacked}}}"
        mean, plus, rest = text.partition(" ± ")
        shown = tex(mean)
        if (i, j) in self.bold:
            shown = rf"\textbf{{{shown}}}"
        if (i, j) in self.underlined:
            shown = rf"\underline{{{shown}}}"
        return shown + (rf"{{\tiny$\pm${tex(rest)}}}" if plus else "")


def _broken(text: str) -> list[str]:
    """A long label, broken into lines."""
    lines = textwrap.wrap(text.replace("+", "+ "), _WIDE)
    return [line.replace("+ ", "+") for line in lines]


def tex(text: str) -> str:
    """Text for LaTeX: characters that mean something there are escaped."""
    return "".join(_TEX.get(char, char) for char in text)


def document(names: list[str]) -> str:
    """A LaTeX document with all tables, for a look at them."""
    lines = [r"\documentclass[twocolumn,a4paper]{article}", PREAMBLE, r"\begin{document}"]
    lines += [rf"\input{{{name}.tex}}\clearpage" for name in names]
    return "\n".join([*lines, r"\end{document}", ""])
