"""The figures of a study: `draw` writes them, and the other modules draw one family each."""
