"""The `lbench` command."""

import sys

__all__ = ["main"]


def main() -> None:
    """Entry point of the `lbench` command."""
    try:  # while it is imported nobody else takes an interrupt
        from lbench.cli.main import command

        command()
    except KeyboardInterrupt:
        sys.exit(130)
