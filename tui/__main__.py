"""`python -m lbench.tui`: the screens alone, as a page of `lbench serve` starts them. They end with the server."""

from __future__ import annotations

import os
import sys

from lbench.config.settings import load, on_hangup
from lbench.engine.processes.lifeline import PARENT, die_with_parent
from lbench.errors import LbenchError
from lbench.tui.main import run


def main() -> int:
    """Run them; returns the exit code."""
    if PARENT in os.environ:
        die_with_parent()
    try:
        chosen = load().values
        return run(fps=chosen.fps, on_hangup=on_hangup(chosen, "tui"))
    except LbenchError as error:
        print(f"lbench: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
