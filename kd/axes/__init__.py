"""What a study may ask for: one table a file, without torch. May import runtime."""
