"""Installs the hooks in a recorded script's process, and leaves no other trace of lbench for the script.

Python imports a module of this name when it starts. `launch` puts this folder first into PYTHONPATH; what stood there
before is restored here, so that neither the script nor its child processes see a difference.
"""

import contextlib
import importlib
import os
import sys


def _begin() -> None:
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - before the script: few imports
    folder = os.environ.pop("LBENCH_RECORD_TO", None)
    before = os.environ.pop("LBENCH_RECORD_PYTHONPATH", None)
    if before is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = before
    sys.path[:] = [one for one in sys.path if os.path.abspath(one) != here]  # noqa: PTH100
    ours = sys.modules.pop("sitecustomize", None)
    try:
        importlib.import_module("sitecustomize")  # the machine's own, if there is one
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
    finally:
        if ours is not None:
            sys.modules.setdefault("sitecustomize", ours)
    if folder is None:
        return
    try:
        from lbench.workloads.recorded.hooks import start

        start(folder)
    except Exception as error:  # the script must run all the same
        with contextlib.suppress(OSError), open(os.path.join(folder, "problem.txt"), "w") as file:  # noqa: PTH118, PTH123
            file.write(f"{type(error).__name__}: {error}")


if __name__ == "sitecustomize":
    _begin()
