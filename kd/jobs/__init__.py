"""What each workflow rule does: one file for each rule. Only `cli` imports it."""
