"""The `lbench` command."""

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Entry point of the `lbench` command."""
    os.environ.pop("PYTHONINSPECT", None)  # no process that is started inherits it
    try:  # while it is imported nobody else takes an interrupt
        from lbench.cli.main import command

        command()
    except KeyboardInterrupt:
        _exit(130)
    except SystemExit as exit:
        _exit(exit.code)


def _exit(code: object) -> None:
    """Exit, also where PYTHONINSPECT would have Python wait for commands instead, and lose the exit code."""
    if sys.flags.inspect and (code is None or isinstance(code, int)):
        import atexit

        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
    sys.exit(code)  # type: ignore[arg-type]
