"""`with lbench.record("name"):` in a script or a notebook."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lbench.workloads.recorded import hooks
from lbench.workloads.recorded.code import is_constant, is_definition
from lbench.workloads.recorded.finish import report_lines
from lbench.workloads.recorded.places import check_name, discard, making_folder
from lbench.workloads.recorded.recorder import Recorder

__all__ = ["record"]


@contextmanager
def record(name: str, *, quiet: bool = False) -> Iterator[None]:
    """Record what the block hands to executors, pools and joblib, as the workload `recorded:NAME`.

    What is recorded, and what cannot be, is printed on stderr at the end, unless `quiet`. An earlier recording of that
    name is replaced.

    Raises:
        InputError: no recording may have that name, or the data folder cannot be written.
    """
    check_name(name)
    making = making_folder()
    try:
        shell = _shell()
        notebook = None if shell is None else making / "notebook.py"
        recorder = Recorder(making, None if notebook is None else str(notebook))
        before = hooks.record_into(recorder)
        try:
            yield
        finally:
            hooks.record_into(before)
            recorder.close()
            if notebook is not None:
                notebook.write_text(_cells(shell), encoding="utf-8")
            lines = report_lines(making, name, "the block")
            if not quiet:
                sys.stderr.writelines(f"lbench: {line}\n" for line in lines)
    finally:
        discard(making)


def _shell() -> Any:
    """The notebook's IPython; None: there is none, or `__main__` is a file."""
    main = sys.modules["__main__"].__dict__
    find = main.get("get_ipython")
    return find() if callable(find) and str(main.get("__file__", "<")).startswith("<") else None


def _cells(shell: Any) -> str:
    """The definitions, imports and constants of all cells that were run: what its functions are for other processes."""
    kept = []
    for cell in shell.user_ns.get("In", []):
        try:
            tree = ast.parse(shell.transform_cell(cell))
        except (SyntaxError, ValueError):
            continue
        kept += [ast.unparse(node) for node in tree.body if is_definition(node) or is_constant(node)]
    return "\n".join(kept) + "\n"
