"""Print the figures of recordings, or write them into a page of the documentation.

python -m lbench.engine.simulation.recordings FOLDER|FILE ... [--fit FOLDER|FILE] [--write docs/model.md]
"""

from __future__ import annotations

import sys
from pathlib import Path

from lbench.engine.simulation.recordings.evaluate import evaluate
from lbench.engine.simulation.recordings.report import page_with, table
from lbench.errors import InputError

_USAGE = "usage: python -m lbench.engine.simulation.recordings FOLDER|FILE ... [--fit FOLDER|FILE] [--write PAGE]"


def _parse(arguments: list[str]) -> tuple[list[Path], dict[str, Path]]:
    """The files and folders, and the options; ValueError where it is none of these."""
    places: list[Path] = []
    options: dict[str, Path] = {}
    left = iter(arguments)
    for word in left:
        if word in ("--fit", "--write"):
            options[word] = Path(next(left, ""))
        elif word.startswith("-"):
            raise ValueError
        else:
            places.append(Path(word))
    if not places or Path() in options.values():
        raise ValueError
    return places, options


def main(arguments: list[str]) -> int:
    """Print the figures, or write them into a page."""
    try:
        places, options = _parse(arguments)
    except ValueError:
        print(_USAGE, file=sys.stderr)
        return 2
    try:
        report = evaluate(*places, fit=options.get("--fit"))
        for line in dict.fromkeys(report.left_out):
            print(f"left out: {line}", file=sys.stderr)
        if not report.figures:
            where = ", ".join(map(str, places))
            raise InputError(f"{where}: no recordings that can be predicted: docs/model.md names their columns")
        figures = table(report)
        if "--write" in options:
            page = options["--write"]
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
