"""`lbench doctor`: checks this machine and AWS, with a remedy for each problem."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from lbench.cli.findings import Finding, Verdict
from lbench.config.deployment import DEFAULT_STACK
from lbench.config.exit_codes import EXIT_FAILED

if TYPE_CHECKING:
    from lbench.engine.backends.settings import DaskSettings

__all__ = ["command"]

_LEAST_DISK_BYTES = 500 * 2**20
_LEAST_MEMORY_BYTES = 2 * 2**30
_SHARES = {
    "duty-cycle": "cgroups are not available: environments are stopped and continued in periods of 100 ms",
    "none": "emulated environments get unlimited CPU for any memory size; every result says so",
}
_LIMITS = {"polled": "the memory of an environment is polled many times a second"}
_ISOLATION = {
    "mounts": "environments have this user's rights, in a file system of their own",
    "user": "namespaces are not available: environments see this machine's files, /tmp and /dev/shm",
    "none": "namespaces are not available: environments see and may change all that this user may",
}
_PACKAGES = ("numpy", "scikit-learn", "msgspec", "httptools", "aioboto3", "moto", "rich", "click")


@click.command()
@click.option("--aws", is_flag=True, help="Ask AWS even without configured credentials (a machine with a role).")
@click.option("--speed", is_flag=True, help="Also measure a core against Lambda, and what handing over a task costs.")
@click.option("--region", metavar="R", help="AWS region (default: as for `lbench run`).")
@click.option(
    "--stack", metavar="NAME", default=DEFAULT_STACK, help=f"The deployment's name (default {DEFAULT_STACK})."
)
@click.option("--cluster", metavar="dask:...", help="Show a Dask cluster's workers, written as for `lbench run -b`.")
def command(aws: bool, speed: bool, region: str | None, stack: str, cluster: str | None) -> None:
    """Check this machine and AWS: what weakens or prevents measurements.

    Settings and their origin, processor, memory, packages, folders, terminal; credentials, permissions, quota,
    deployment, clock. ✔ good, ! measurements will be weaker, ✘ something will not work (exit code 1). AWS is asked only
    if credentials are configured; nothing there is changed, and the requests are free.
    """
    from rich.text import Text

    from lbench.cli.console import BRIGHT, QUIET, RIGHT, WARN, WRONG, console
    from lbench.cli.doctor_aws import aws_findings
    from lbench.cli.tables import Column, print_table

    marks: dict[Verdict, tuple[str, str]] = {
        "good": ("✔", RIGHT),
        "weak": ("!", WARN),
        "bad": ("✘", WRONG),
        "note": ("·", QUIET),
    }
    out = console()
    bad = False
    sections = (
        _SECTIONS | (_SPEED if speed else {}) | {"AWS": lambda: aws_findings(asked=aws, region=region, stack=stack)}
    )
    if cluster is not None or os.environ.get("DASK_SCHEDULER_ADDRESS"):
        settings = _cluster_settings(cluster or "dask")
        sections = sections | {"Dask cluster": lambda: _cluster(settings)}
    for number, (title, look) in enumerate(sections.items()):
        if number:
            out.print()
        out.print(Text(title, style=BRIGHT))
        what, found = Column("WHAT"), Column("FOUND", wrap=True)
        for finding in look():
            bad = bad or finding.verdict == "bad"
            mark, style = marks[finding.verdict]
            what.add(Text.assemble((f"{mark} ", style), finding.what))
            remedy = f": {finding.remedy}" if finding.remedy else ""
            found.add(Text.assemble(finding.found, (remedy, style if finding.verdict in ("weak", "bad") else QUIET)))
        print_table(out, [what, found], header=False)
    if bad:
        click.get_current_context().exit(EXIT_FAILED)


def _cluster_settings(text: str) -> DaskSettings:
    from lbench.engine.backends.settings import DaskSettings
    from lbench.engine.plan.parse import parse_backend
    from lbench.engine.plan.plan import settings_of
    from lbench.errors import InputError

    settings = settings_of(parse_backend(text, {}))
    if not isinstance(settings, DaskSettings) or settings.starts_cluster:
        raise InputError(f"--cluster must name a Dask scheduler, as in dask:scheduler=tls://host:8786, got {text!r}")
    return settings


def _cluster(settings: DaskSettings) -> Iterator[Finding]:
    """The workers of a Dask cluster: threads, memory, versions."""
    import asyncio

    from lbench.engine.backends.cluster.dask import look_at_cluster
    from lbench.errors import BackendError, InputError, count_text

    try:
        workers = asyncio.run(look_at_cluster(msgspec.structs.replace(settings, any_versions=True)))
    except (BackendError, InputError) as error:
        yield Finding("bad", "scheduler", str(error))
        return
    memory = sum(one.memory_bytes for one in workers) / 2**30
    threads = sum(one.threads for one in workers)
    yield Finding(
        "good", "scheduler", f"{count_text(len(workers), 'worker')}, {count_text(threads, 'thread')}, {memory:.1f} GiB"
    )
    for one in workers:
        versions = ", ".join(f"{name} {version}" for name, version in one.versions.items())
        yield Finding(
            "bad" if one.differing else "good",
            one.address,
            f"{count_text(one.threads, 'thread')}, {one.memory_bytes / 2**30:.1f} GiB, {versions}",
            f"differs here: {one.differing}; make them equal, or pass --any-versions" if one.differing else "",
        )


def _settings() -> Iterator[Finding]:
    from lbench.config.aws_errors import masked
    from lbench.config.settings import known_settings, load
    from lbench.errors import InputError

    try:
        loaded = load()
    except InputError as error:
        yield Finding("bad", "settings", str(error))
        return
    yield Finding("note", "file", loaded.file, "" if Path(loaded.file).exists() else "does not exist, which is fine")
    values = loaded.values
    fields = dict(zip(values.__struct_encode_fields__, values.__struct_fields__, strict=True))
    for setting in known_settings():
        value = getattr(values, fields[setting.name])
        yield Finding(
            "note", setting.name, f"{'none' if value is None else masked(str(value))}  ({loaded.origins[setting.name]})"
        )


def _machine() -> Iterator[Finding]:
    from lbench.engine.machine.fingerprint import fingerprint
    from lbench.engine.machine.monitor import busy, machine_notices

    found = fingerprint()
    yield Finding("note", "processor", found.cpu_model or "unknown")
    quota = "no quota" if found.cgroup_quota is None else f"cgroup quota {found.cgroup_quota:g}"
    cores = found.usable_cores or 0.0
    yield Finding(
        "good" if cores >= 2 else "weak",
        "usable cores",
        f"{cores:g} of {found.logical_cores} ({found.physical_cores} physical, {quota})",
        "" if cores >= 2 else _few_cores(cores),
    )
    others = busy()
    notices = {notice.code: notice.text for notice in machine_notices(found, others)}
    governor = notices.get("cpu_governor", "")
    yield Finding("weak" if governor else "good", "governor", governor or found.cpu_governor or "unknown")
    yield _others(notices.get("machine_busy", ""), others)
    gib = (found.memory_bytes or 0) / 2**30
    enough = (found.memory_bytes or 0) >= _LEAST_MEMORY_BYTES
    yield Finding(
        "good" if enough else "weak",
        "memory",
        f"{gib:.1f} GiB available to processes",
        "" if enough else "use few environments: --concurrency",
    )
    if (files := _open_files(max(1, int(cores)))) is not None:
        yield files
    threads = "1 for each worker" if found.blas_threads is None else f"{found.blas_threads} by environment variable"
    yield Finding("note", "BLAS threads", f"{threads}; workers use 1 unless blas_threads is set")
    yield Finding("note", "system", found.os or "unknown")


def _few_cores(cores: float) -> str:
    from lbench.analysis.format import cores_text

    than = f"more than {cores:g} times as fast as" if cores > 1 else "faster than"
    return f"with {cores_text(cores)} no backend here can be {than} sequential"


def _open_files(environments: int) -> Finding | None:
    """The limit on open files against what emulated Lambda needs, whose default is an environment for each core."""
    from lbench.engine.backends.lambda_.backend import few_files, most_files

    most, problem = most_files(), few_files(environments)
    if most is None:
        return None
    return Finding("bad", "open files", problem) if problem else Finding("good", "open files", f"up to {most:,}")


def _others(text: str, share: float | None) -> Finding:
    if text:
        return Finding("weak", "other processes", text)
    return Finding("good", "other processes", "unknown" if share is None else f"{share:.0%} of the processor")


def _software() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("good", "Python", f"{sys.implementation.name} {version} ({sys.executable})")
    for name in _PACKAGES:
        try:
            yield Finding("good", name, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding("bad", name, "not installed", f"install it with `{sys.executable} -m pip install {name}`")
    if find_spec("awslambdaric") is not None:
        yield Finding("good", "awslambdaric", metadata.version("awslambdaric"), "the runtime client of AWS")
    elif sys.platform == "linux":
        yield Finding("weak", "awslambdaric", "not installed", "the runtime client of lbench is used instead")
    else:
        yield Finding("note", "awslambdaric", "for Linux only", "the runtime client of lbench is used instead")


def _against_lambda() -> Iterator[Finding]:
    """How fast a core here is beside a vCPU of Lambda, by kernels that others have run there."""
    from lbench.analysis.core_ratio import kernel_ratios, measured_core_ratio
    from lbench.config.kernels import published_seconds
    from lbench.engine.sampling.kernels import kernel_times
    from lbench.engine.simulation.distributions import Lognormal
    from lbench.engine.simulation.parameters import lambda_model
    from lbench.errors import LbenchError

    prior = lambda_model().core_ratio
    try:
        times = kernel_times()
    except LbenchError as error:
        yield Finding("weak", "kernels", "not measured", str(error))
        return
    if times is None:
        yield Finding("weak", "kernels", "not measured: the machine is busy", "run this again when it is idle")
    else:
        published = published_seconds("x86_64", times.python)
        ratios = kernel_ratios(times.seconds, {name: seconds for name, (seconds, _) in published.items()})
        for name, ratio in ratios.items():
            here = f"{times.seconds[name]:.2f} s here, {published[name][0]:.2f} s there ({published[name][1]})"
            yield Finding("note", f"kernel {name}", f"a core is worth {ratio:.2g} vCPUs: {here}")
        prior = measured_core_ratio(prior, ratios, date.fromisoformat(times.created[:10]))
    ends = f" ({prior.quantile(0.025):.2g} to {prior.quantile(0.975):.2g})" if isinstance(prior, Lognormal) else ""
    yield Finding("note", "core ratio", f"{prior.median:.2g}{ends} vCPUs of Lambda, as lbench estimate takes it")


def _hand_over() -> Iterator[Finding]:
    """What handing over one task costs on each local backend, by tasks that do nothing."""
    from lbench.analysis.format import seconds_text
    from lbench.engine.sampling.overhead import hand_overs
    from lbench.errors import LbenchError

    try:
        for name, seconds in hand_overs().items():
            enough = seconds_text(19 * seconds)
            yield Finding(
                "note", name, f"{seconds_text(seconds)} a task: 95 % of a place's time needs tasks of {enough}"
            )
    except (LbenchError, OSError) as error:
        yield Finding("weak", "hand-over", "not measured", str(error))


def _emulation() -> Iterator[Finding]:
    """How emulated environments are limited in CPU and memory, as a started emulator reports it."""
    import asyncio

    from lbench.engine.emulator.launch import launch
    from lbench.errors import BackendError

    async def ask() -> tuple[str, str, str]:
        async with await launch([]) as emulator:
            return await emulator.methods()

    try:
        cpu, memory, isolation = asyncio.run(ask())
    except (BackendError, OSError) as error:
        yield Finding("bad", "emulator", "does not start", str(error))
        return
    yield Finding("good" if cpu != "none" else "weak", "cpu_share_method", cpu, _SHARES.get(cpu, ""))
    yield Finding("good" if memory != "none" else "weak", "memory limit", memory, _LIMITS.get(memory, ""))
    verdict: Verdict = "good" if isolation.startswith("mounts") else "weak"
    yield Finding(verdict, "isolation_method", isolation, _ISOLATION.get(isolation, ""))


def _places() -> Iterator[Finding]:
    from lbench.config.folders import cache_folder, sessions_folder
    from lbench.engine.service.discovery import socket_path

    for what, folder in (
        ("sessions", sessions_folder),
        ("cache", lambda: cache_folder("references")),
        ("sockets", lambda: socket_path(Path("0" * 12), os.getpid()).parent),
        ("temporary files", lambda: Path(tempfile.gettempdir())),
    ):
        yield _place(what, folder)


def _place(what: str, folder: Callable[[], Path]) -> Finding:
    from lbench.errors import InputError

    try:
        path = folder()
        with tempfile.NamedTemporaryFile(dir=path):
            pass
        room_bytes = shutil.disk_usage(path).free
    except InputError as error:
        return Finding("bad", what, str(error))
    except OSError as error:
        return Finding("bad", what, f"cannot be written ({error.strerror})", "see the XDG_* variables and TMPDIR")
    room = f"{path}, {room_bytes / 2**30:.1f} GiB free"
    if room_bytes < _LEAST_DISK_BYTES:
        return Finding("weak", what, room, "free some, or set XDG_DATA_HOME and TMPDIR")
    return Finding("good", what, room)


def _terminal() -> Iterator[Finding]:
    from lbench.cli.console import is_live_terminal

    live = is_live_terminal(sys.stderr)
    term = os.environ.get("TERM") or "not set"
    yield Finding(
        "good" if live else "note", "progress", "drawn" if live else "plain lines", "" if live else f"TERM is {term}"
    )
    encoding = sys.stdout.encoding or "none"
    good = encoding.lower().replace("-", "") == "utf8"
    yield Finding("good" if good else "weak", "encoding", encoding, "" if good else "set LANG to a UTF-8 locale")
    if good:
        signs = "braille ⢀⣀⡠⠔⠒⠉ · block ▗▄▞▀▘ · ascii .:"
        yield Finding("note", "chart signs", signs, "if any sign shows as a box or a gap, set marker to another kind")
    if os.environ.get("NO_COLOR"):
        yield Finding("note", "colours", "off", "NO_COLOR is set")


_SECTIONS: dict[str, Callable[[], Iterator[Finding]]] = {
    "Settings": _settings,
    "This machine": _machine,
    "Software": _software,
    "Emulated Lambda": _emulation,
    "Folders": _places,
    "Terminal": _terminal,
}
_SPEED: dict[str, Callable[[], Iterator[Finding]]] = {
    "A core against Lambda": _against_lambda,
    "Handing over a task": _hand_over,
}
