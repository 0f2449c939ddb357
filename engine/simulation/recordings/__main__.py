"""Print the figures of recordings, or write them into a page of the documentation."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from lbench.engine.simulation.recordings.evaluate import evaluate
from lbench.engine.simulation.recordings.report import page_with, table
from lbench.errors import InputError


def _options(arguments: list[str]) -> Iterator[tuple[str, str]]:
    for option, value in zip(arguments[::2], arguments[1::2], strict=True):
        if not re.fullmatch("--(fit|write)", option):
            raise ValueError
        yield option, value


def main(arguments: list[str]) -> int:
    """Print the figures, or write them into a page."""
    try:
        folder, options = Path(arguments[0]), dict(_options(arguments[1:]))
        if not folder.is_dir():
            raise ValueError
    except (IndexError, ValueError):
        print(
            "usage: python -m lbench.engine.simulation.recordings FOLDER [--fit FOLDER] [--write PAGE]", file=sys.stderr
        )
        return 2
    try:
        report = evaluate(folder, Path(options["--fit"]) if "--fit" in options else None)
        if not report.figures:
            raise InputError(f"{folder} has no recordings that can be predicted: docs/model.md names their files")
        figures = table(report)
        if "--write" in options:
            page = Path(options["--write"])
            page.write_text(page_with(page.read_text(encoding="utf-8"), figures), encoding="utf-8")
        else:
            sys.stdout.write(figures)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
