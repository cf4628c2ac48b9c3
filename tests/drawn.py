"""Looks into drawn figures: marks by their name, and all texts."""

from fake_runs import grid
from matplotlib.text import Text

from kd.results.figures.draw import chosen, possible


def marked(ax, gid):
    """The artists of `ax` that carry this name."""
    return [artist for artist in ax.findobj() if artist.get_gid() == gid]


def texts(figure):
    """Every text in the figure."""
    found = (t.get_text().replace("\u00a0", " ") for t in figure.findobj(Text))
    return [text for text in found if text]


def figures_of(frame, asked=None):
    """(name, figure) of those that are drawn."""
    return chosen(frame, possible(frame)[0], asked)


def score(cell):
    """A number that rises with the knowledge; 'last' never finishes on rte."""
    if cell["task"] == "rte" and cell["mapping"] == "last":
        return None
    return 0.55 + 0.05 * cell["knowledge"].count("+") + 0.01 * int(cell["seed"])


def full_grid():
    """Two tasks, two students, three kinds of knowledge, two mappings, three seeds."""
    return grid(
        score,
        task=["rte", "cola"],
        student=["3L-384-12h-1536", "6L-768-12h-3072"],
        knowledge=["none", "logits", "logits+hidden"],
        mapping=["first", "last"],
        seed=["1", "2", "3"],
    )
