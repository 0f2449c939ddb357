"""`python -m lbench.tui`: the screens, for those who work on them."""

import sys

from lbench.tui.main import run

if __name__ == "__main__":
    sys.exit(run())
