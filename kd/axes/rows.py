"""The types of the rows that a plugin may add to the tables: what a plugin imports of kd."""

from kd.axes import forms, kinds
from kd.axes.figures import PluginFigure
from kd.axes.initialisations import Initialisation
from kd.axes.knowledge import Knowledge
from kd.axes.mappings import LayerMapping
from kd.axes.matchings import Matching
from kd.axes.metrics import CORRELATION, SHARE, Metric
from kd.axes.shapes import Named, Shape

__all__ = [
    "CORRELATION",
    "SHARE",
    "Initialisation",
    "Knowledge",
    "LayerMapping",
    "Matching",
    "Metric",
    "Named",
    "PluginFigure",
    "Shape",
    "forms",
    "kinds",
]
