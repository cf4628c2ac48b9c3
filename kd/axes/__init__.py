"""The tables of what a study may ask for, one per file, without torch. May import `runtime`."""
