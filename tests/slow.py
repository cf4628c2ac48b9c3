"""Parameters of a test that only `pytest --all` takes."""

from typing import Any

import pytest


def slow(*values: Any) -> list[Any]:
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]
