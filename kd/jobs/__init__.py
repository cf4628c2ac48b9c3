"""What each workflow rule does. Only `cli` and the workflow import it."""
