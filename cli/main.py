"""The `lbench` command: its subcommands, and errors as one line on stderr that begins with `lbench: `.

Only click is imported here, so that `lbench --help` and `--version` are quick; the module of a subcommand is imported
when it is called.
"""

from __future__ import annotations

import difflib
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import click

from lbench._version import __version__
from lbench.cli.screens import can_show, screen_options, show
from lbench.cli.streams import end_output, open_streams
from lbench.config.exit_codes import EXIT_FAILED, EXIT_INPUT, SIGNAL_EXIT_CODES
from lbench.errors import InputError, LbenchError, one_line

__all__ = ["command"]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# The command NAME is `command` in lbench.cli.commands.NAME.
_COMMANDS = {
    "run": "Measure one workload on several backends, and compare.",
    "estimate": "Predict time and dollars of every option, before anyone pays.",
    "check": "Check whether a job can run on AWS Lambda: limits and headroom.",
    "record": "Run a script unchanged, and record its parallel calls as a workload.",
    "attach": "Open the screens on an engine that is still running.",
    "workloads": "List workloads and their parameters.",
    "backends": "List backends and their settings.",
    "sessions": "List recorded sessions, newest first.",
    "open": "Open a recorded session: replay, pause, seek.",
    "export": "Export a session as JSON, CSV, Parquet, trace or report.",
    "sweep": "Measure along a parameter: curves, crossings, break-even.",
    "tune": "Find memory and tasks on Lambda: time against dollars.",
    "compare": "Compare sessions of several machines and days.",
    "report": "Write a report: the answer in words and figures, one HTML file.",
    "calibrate": "Fit the model of AWS Lambda to recorded runs.",
    "prices": "List the prices of AWS, each with its source and age.",
    "data": "Explain how to get the Lending Club loans; inspect a data file.",
    "doctor": "Check this machine and AWS: what weakens or prevents measurements.",
    "package": "Build the zip for Lambda: handler, workloads, libraries.",
    "deploy": "Deploy the Lambda side to your AWS account.",
    "status": "Show what is deployed, its age and its cost at rest.",
    "destroy": "Remove everything that deploy created.",
    "emulator": "Run AWS Lambda on this machine, standalone.",
    "gc": "Remove leftovers of crashed runs, here and on AWS.",
    "new": "Create a workload of your own: a commented example with its test.",
    "serve": "Open the screens in a browser.",
}


class LazyGroup(click.Group):
    """Subcommands whose modules are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        import importlib

        found = importlib.import_module(f"lbench.cli.commands.{cmd_name}").command
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command.

        Raises:
            UsageError: no such command; the message names the nearest.
        """
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-"):
            near = difflib.get_close_matches(name.lower(), _COMMANDS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(_COMMANDS)}"
            raise click.UsageError(f"unknown command {name!r}: {hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand; an interrupt is one line, where click would leave an empty one."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            behind = "\n" if sys.stderr.isatty() else ""  # the terminal has shown ^C
            sys.stderr.write(f"{behind}lbench: interrupted\n")
            ctx.exit(SIGNAL_EXIT_CODES[signal.SIGINT])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The summaries of all commands; nothing is imported."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command, print an error as one line, and exit."""
        run: Callable[[], Any] = partial(super().main, args, prog_name, complete_var, standalone_mode=False, **extra)
        if not standalone_mode:
            return run()
        given = sys.argv[1:] if args is None else args
        with _guarded(given):
            _refuse_undecodable(given)
            _refuse_umask()
            returned = run()
            sys.exit(end_output(returned if isinstance(returned, int) else 0))


@click.group(cls=LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lbench", message="%(prog)s %(version)s")
@screen_options
@click.pass_context
def command(ctx: click.Context, no_mouse: bool, theme: str) -> None:
    """Is this parallel job better on AWS Lambda than on the machine I have? Measured, live.

    For a start: `lbench` alone opens the screens (then r and Enter); `lbench run mandelbrot` does without.
    """
    if ctx.invoked_subcommand is not None:
        given = {"no_mouse": no_mouse, "theme": theme}  # given before the name of the subcommand, they apply to it too
        ctx.default_map = {"open": given, "attach": given}
        return
    if can_show():
        ctx.exit(show(no_mouse=no_mouse, theme=theme))
    click.echo(ctx.get_help())


@contextmanager
def _guarded(arguments: Sequence[str]) -> Iterator[None]:
    """Turn every error into one line and an exit code; an unexpected one goes to a file (`_unexpected`)."""
    open_streams()
    sys.excepthook = _unexpected
    try:
        yield
    except click.UsageError as error:
        _fail(
            f"{_clicks(error.format_message()).removesuffix('.')} (see {_place(error, arguments)} --help)", EXIT_INPUT
        )
    except click.ClickException as error:
        _fail(_clicks(error.format_message()), error.exit_code)
    except InputError as error:
        _fail(one_line(str(error)), EXIT_INPUT)
    except LbenchError as error:
        _fail(one_line(str(error)), EXIT_FAILED)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(SIGNAL_EXIT_CODES[signal.SIGINT])
    except (OSError, RuntimeError) as error:
        from lbench.config.limits import (
            NO_TEMPORARY,
            TOO_MANY_FILES,
            TOO_MANY_PROCESSES,
            no_more_processes,
            no_temporary,
        )

        if no_more_processes(error):
            _fail(TOO_MANY_PROCESSES, EXIT_INPUT)
        if isinstance(error, RuntimeError):
            raise
        if no_temporary(error):
            _fail(NO_TEMPORARY, EXIT_INPUT)
        if isinstance(error, FileNotFoundError) and _working_folder() is None:
            _fail("the working folder no longer exists: change to one that does", EXIT_INPUT)
        if error.errno in (errno.EMFILE, errno.ENFILE):
            _fail(TOO_MANY_FILES, EXIT_INPUT)
        if error.errno not in _NO_ROOM:
            raise
        place = "" if error.filename is None else f" for {error.filename}"
        _fail(f"no room on the disk{place} ({error.strerror}): free some, then run it again", EXIT_FAILED)
    except MemoryError:
        _fail("not enough memory: choose a smaller job or fewer workers", EXIT_FAILED)


def _refuse_undecodable(arguments: Sequence[str]) -> None:
    """Refuse names and values that are not text: they could be shown, recorded and sent to other processes nowhere.

    Raises:
        InputError: an argument, or the working folder's name, is not valid UTF-8.
    """
    for text in arguments:
        if not _is_text(text):
            raise InputError(f"the argument {_undecoded(text)}: use another name, or a link to the file")
    folder = _working_folder()
    if folder is not None and not _is_text(folder):
        raise InputError(f"the working folder's name {_undecoded(folder)}: change to another folder")


def _refuse_umask() -> None:
    """Refuse a umask that takes the owner's rights: lbench could not read what it has just written.

    Raises:
        InputError: the umask is such a one.
    """
    mask = os.umask(0o077)
    os.umask(mask)
    if mask & 0o700:
        raise InputError(f"the umask is {mask:04o}: new files would be closed to you, too; run `umask 077` first")


def _undecoded(text: str) -> str:
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if "\\x" not in shown:
        return f"{shown} cannot be read in this locale (set PYTHONUTF8=1)"
    return f"{shown} is not valid UTF-8"


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _working_folder() -> str | None:
    """The working folder; None: it no longer exists."""
    try:
        return os.getcwd()  # noqa: PTH109 - pathlib would load more
    except FileNotFoundError:
        return None


def _clicks(text: str) -> str:
    """A message of click without its capital; messages of lbench may begin with the name of a file."""
    text = one_line(text)
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _place(error: click.UsageError, arguments: Sequence[str]) -> str:
    """The command of the error; the parser of options names none."""
    if error.ctx is not None:
        return error.ctx.command_path
    return next((f"lbench {word}" for word in arguments if word in _COMMANDS), "lbench")


def _fail(line: str, code: int) -> None:
    from lbench.config.aws_errors import masked_urls  # an argument that the line quotes may hold a password

    sys.stderr.write(f"lbench: {masked_urls(line)}\n")
    sys.exit(code)


def _unexpected(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """An error inside lbench: the traceback goes to a file, one line to the user. Python then exits with 1."""
    from lbench.config.crash_log import saved_fault

    sys.stderr.write(f"lbench: {saved_fault(error)}\n")
