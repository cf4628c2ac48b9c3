"""Files, locks, signals, progress, devices. Knows no study and no model."""
