"""What each workflow rule does, one file per rule. Only `cli` imports it."""
