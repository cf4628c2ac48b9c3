"""Checks the study file of a `snakemake` command line before Snakemake opens it.

Snakemake itself ends in a traceback where the file is missing. The profiles call this.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from kd.runtime.errors import UserError
from kd.study.check import load_study
from kd.study.find import find_study


def check_study_files(words: Sequence[str]) -> None:
    """End with one sentence where what stands behind `--configfile` is no study file."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--configfile", "--configfiles", nargs="*", default=[])
    for text in parser.parse_known_args(list(words))[0].configfile:
        try:
            path = find_study(text)
            if not Path(text).exists():
                raise UserError(f"{text}: Snakemake needs the file: --configfile {path}")
            load_study(path)
        except UserError as error:
            sys.exit(f"error: {error}")
