"""Formulas by form, the terms of a run, and its objective."""
