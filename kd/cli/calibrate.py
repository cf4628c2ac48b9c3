"""The command `calibrate`: how fast the device at hand is, for the estimates of `kd plan`."""

import argparse
import json
import sys
from contextlib import redirect_stdout

from kd.cli.arguments import Commands, add_options, command
from kd.study.paths import Layout

_ABOUT = """\
Measure for a minute how fast this device is, for the estimates of `kd plan`

It trains small encoders on random tokens, runs one without training it, starts a process, and
writes a file. What it finds is kept in results/calibration.json, by device and number of threads.
`kd plan` reads it until trainings are done, whose records say more. On a CPU with one thread it
counts the time of the processor, so that other work on the machine changes little.
"""


def add(commands: Commands) -> None:
    """Add the command of this module."""
    parser = command(commands, "calibrate", _calibrate, _ABOUT)
    add_options(parser, "--results", "--threads", "--json")


def _calibrate(options: argparse.Namespace) -> None:
    from kd.runtime import startup

    startup.prepare()
    from kd.jobs.calibrate import run_calibrate

    layout = Layout(options.results)
    with redirect_stdout(sys.stderr):  # the progress of its trainings
        device, rates = run_calibrate(layout, options.threads)
    if options.json:
        print(json.dumps({"device": device, **rates}, indent=2))
        return
    speeds = ", ".join(f"{speed / 1e9:,.0f} in {name}" for name, speed in rates["training"].items())
    print(
        f"{device}: GFLOP/s in training {speeds}; forward in fp32 {rates['forward'] / 1e9:,.0f}\n"
        f"  {1e3 * rates['step']:.2f} ms for each layer and step, {1e9 * rates['update']:.2f} ns "
        f"for each parameter and step, {rates['start']:.1f} s to start a job, "
        f"{rates['disk'] / 1e6:,.0f} MB/s written\n{layout.calibration}: written"
    )
