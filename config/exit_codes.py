"""The exit codes of the `lbench` command, the same for the command line and the screens."""

from __future__ import annotations

import signal

__all__ = ["EXIT_BUDGET", "EXIT_FAILED", "EXIT_INPUT", "SIGNAL_EXIT_CODES"]

EXIT_FAILED = 1  # a run failed, an answer was wrong, or standard output could not be written
EXIT_INPUT = 2
EXIT_BUDGET = 3  # stopped by the budget
SIGNAL_EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
