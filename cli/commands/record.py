"""`lbench record`: runs a script unchanged, and records what it hands to executors, pools and joblib."""

from __future__ import annotations

import importlib
import sys
from functools import partial

import click

__all__ = ["command"]


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--name", metavar="NAME", help="Name of the recording (default: the script's).")
@click.option("-m", "module", is_flag=True, help="SCRIPT is a module's name, as in `python -m`.")
@click.option("--quiet", is_flag=True, help="Say nothing about the recording.")
@click.argument("script", metavar="SCRIPT")
@click.argument("arguments", metavar="[ARGS]...", nargs=-1, type=click.UNPROCESSED)
def command(name: str | None, module: bool, quiet: bool, script: str, arguments: tuple[str, ...]) -> None:
    """Run SCRIPT as it is, and record its parallel calls as a workload, `recorded:NAME`.

    What it hands to concurrent.futures, multiprocessing pools and joblib (also within scikit-learn) is recorded with its
    results. The script ends as it would by itself: output, exit code, errors, signals.

    \b
    Examples:
      lbench record train.py --epochs 3
      lbench run recorded:train -b processes -b emulated
    """
    from lbench.config.folders import is_file, is_folder
    from lbench.engine.processes.lifeline import die_with_parent
    from lbench.errors import InputError
    from lbench.workloads.recorded.launch import die_as, run_script
    from lbench.workloads.recorded.places import check_name, discard, making_folder, module_name

    if not module and not is_file(script):
        what = "that is a folder" if is_folder(script) else "there is no such file"
        raise InputError(f"{script}: {what}: name a Python script")
    if name is None:
        name = (script.rpartition(".")[2] if module else module_name(script)) or "script"
    check_name(name)
    making = making_folder()
    try:
        sys.stdout.flush()
        words = [*(["-m"] if module else []), script, *arguments]
        before = die_with_parent if sys.platform == "linux" else lambda: None
        finishing = partial(importlib.import_module, "lbench.workloads.recorded.finish")
        code = run_script(words, making, before, finishing)
        from lbench.workloads.recorded.finish import report_lines

        lines = report_lines(making, name, script)
    finally:
        discard(making)
    if not quiet:
        for line in lines:
            click.echo(f"lbench: {line}", err=True)
    sys.stderr.flush()
    if code < 0:
        die_as(code)
    click.get_current_context().exit(code)
