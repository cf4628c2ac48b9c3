"""The study's figures: `kinds` names them, `draw` writes them, one module draws each family."""
