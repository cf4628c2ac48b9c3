"""Looks at what Snakemake was called with before Snakemake does, which ends in a traceback where a
study file is missing. `profiles/default` calls it."""

import argparse
import sys
from collections.abc import Sequence

from kd.runtime.errors import UserError
from kd.study.check import load_study


def check_study_files(words: Sequence[str]) -> None:
    """End with one sentence where a file behind `--configfile` is no study."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--configfile", "--configfiles", nargs="*", default=[])
    for path in parser.parse_known_args(list(words))[0].configfile:
        try:
            load_study(path)
        except UserError as error:
            sys.exit(f"error: {error}")
