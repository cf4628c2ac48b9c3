"""`python -m kd`."""

import sys

from kd.cli import main

sys.exit(main())
