"""`python -m kd`."""

import sys

try:
    from kd.cli import main

    status = main()
except KeyboardInterrupt:  # before, or after, a command looks after its signals
    status = 130
sys.exit(status)
