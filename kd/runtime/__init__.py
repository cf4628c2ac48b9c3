"""Files, locks, signals, progress and devices. It knows no study and no model.

May import no other package.
"""
