"""The machine's condition while it measures: samples for the record, and whether someone else is using it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

import msgspec

from lbench.engine.machine.fingerprint import Environment, MachineSample, cgroups, load_1m
from lbench.errors import count_text

__all__ = ["Notice", "Sampler", "Usage", "busy", "machine_notices", "sample_notices"]

_ROOT = Path("/")
_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "x86_pkg_temp", "cpu-thermal", "soc_thermal")
_BUSY = 0.10  # share of the machine's CPU: above it, others change what is measured
_STEAL = 0.02
_LEAST_STEAL_S = 0.5  # of samples; in less a single tick of stolen time is too large a share
_HOT_C = 90.0
_SWAP_BYTES = 2**20


class Notice(msgspec.Struct, frozen=True):
    """Something about the machine that makes results less steady: `code` for programs, `text` for people."""

    code: str
    text: str


class Sampler:
    """Reads the machine's condition, in some 50 us: its files are opened once and read again.

    Holds open files, so it is a context manager. Where a source is missing (macOS, many virtual machines) its
    figure is None.
    """

    def __init__(self, root: Path = _ROOT) -> None:
        self._stat = _open(root / "proc/stat")
        self._load = _open(root / "proc/loadavg")
        self._khz = _open(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
        self._cpuinfo = _open(root / "proc/cpuinfo") if self._khz is None else None
        self._temperature = _open(_sensor(root))
        self._vmstat = _open(root / "proc/vmstat")
        files = [_open(folder / "cpu.stat") for folder, _ in cgroups(root, "cpu")]
        self._quotas = [file for file in files if file is not None]
        self._before = self._times()
        self._throttled_before = self._throttled()
        self._swapped_before = self._swapped()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for name in ("_stat", "_load", "_khz", "_cpuinfo", "_temperature", "_vmstat"):
            file = getattr(self, name)
            setattr(self, name, None)
            if file is not None:
                os.close(file)
        while self._quotas:
            os.close(self._quotas.pop())

    def read(self, now_s: float) -> MachineSample:
        """A sample marked `now_s`; steal, throttling and swap are those since the last sample, or since this was opened."""
        throttled, swapped = self._throttled(), self._swapped()
        before, self._throttled_before = self._throttled_before, throttled
        swapped_before, self._swapped_before = self._swapped_before, swapped
        return MachineSample(
            t_s=now_s,
            load=self._read_load(),
            steal=self._read_steal(),
            mhz=self._read_mhz(),
            temperature_c=self._read_temperature(),
            throttled_periods=None if throttled is None or before is None else throttled - before,
            swapped_bytes=None if swapped is None or swapped_before is None else swapped - swapped_before,
        )

    def _throttled(self) -> int | None:
        """Periods in which a quota stopped this process's cgroup or one above it; None: no quota is counted."""
        known = [count for file in self._quotas if (count := _field(_read(file, 512), b"nr_throttled")) is not None]
        return sum(known) if known else None

    def _swapped(self) -> int | None:
        """Bytes that the machine has moved between memory and swap."""
        if self._vmstat is None:
            return None
        text = _read(self._vmstat, 16_384)
        pages = [_field(text, name) for name in (b"pswpin", b"pswpout")]
        return None if None in pages else sum(filter(None, pages)) * os.sysconf("SC_PAGE_SIZE")

    def _times(self) -> tuple[int, int] | None:
        """(stolen, all) CPU time of the machine in ticks."""
        ticks = _cpu_ticks(_read(self._stat, 256))
        return None if ticks is None else (ticks[7], sum(ticks))

    def _read_steal(self) -> float | None:
        before, now = self._before, self._times()
        if before is None or now is None or now[1] <= before[1]:
            return None
        self._before = now
        return round(max(0, now[0] - before[0]) / (now[1] - before[1]), 4)

    def _read_load(self) -> float | None:
        with contextlib.suppress(ValueError):
            return float(_read(self._load, 64).partition(b" ")[0])
        return load_1m()

    def _read_mhz(self) -> float | None:
        with contextlib.suppress(ValueError):
            if self._khz is not None:
                return int(_read(self._khz, 32)) / 1000
            _, found, rest = _read(self._cpuinfo, 2048).partition(b"cpu MHz")
            return float(rest.partition(b"\n")[0].partition(b":")[2]) if found else None
        return None

    def _read_temperature(self) -> float | None:
        with contextlib.suppress(ValueError):
            return int(_read(self._temperature, 32)) / 1000
        return None


def busy(window_s: float = 0.25, *, sleep: Callable[[float], None] = time.sleep) -> float | None:
    """Share (0 to 1) of the machine's CPU that others use, over a window that this call waits for.

    Others are all but this process. It blocks: not for an event loop.
    """
    before = _used_and_all_s()
    sleep(window_s)
    after = _used_and_all_s()
    if before is None or after is None or after[1] <= before[1]:
        return None
    return round(min(1.0, max(0.0, (after[0] - before[0]) / (after[1] - before[1]))), 3)


class Usage:
    """How much of the machine's CPU is in use, by anyone; asked now and then, and never waited for."""

    def __init__(self) -> None:
        self._before = _used_and_all_s(with_own=True)

    def share(self) -> float | None:
        """The share (0 to 1) since this was asked last; None: not known, or too little time has passed."""
        before, now = self._before, _used_and_all_s(with_own=True)
        if before is None or now is None or now[1] <= before[1]:
            return None
        self._before = now
        return min(1.0, max(0.0, (now[0] - before[0]) / (now[1] - before[1])))


def machine_notices(environment: Environment, busy: float | None = None) -> list[Notice]:
    """What about the machine to tell before a run: a governor that changes the clock, and others at work."""
    notices = []
    if environment.cpu_governor not in (None, "performance"):
        notices.append(
            Notice(
                "cpu_governor",
                f"the CPU governor is '{environment.cpu_governor}': the clock changes with the load; "
                "for steadier times set it to 'performance'",
            )
        )
    if busy is not None and busy > _BUSY:
        notices.append(
            Notice(
                "machine_busy",
                f"other processes use {100 * busy:.0f} % of this machine's CPU: times will be longer and less steady; "
                "stop them, or measure later",
            )
        )
    return notices


def sample_notices(samples: Iterable[MachineSample]) -> list[Notice]:
    """Notices after a run: CPU time stolen by a hypervisor, throttling by a CPU quota, swap, heat."""
    samples = list(samples)
    notices = []
    if (stolen := _stolen(samples)) > _STEAL:
        notices.append(
            Notice(
                "steal",
                f"the hypervisor gave {100 * stolen:.1f} % of the CPU to other machines: times are longer than "
                "necessary; repeat, or use a dedicated machine",
            )
        )
    if throttled := sum(sample.throttled_periods or 0 for sample in samples):
        notices.append(
            Notice(
                "cpu_throttled",
                f"a CPU quota throttled the work in {count_text(throttled, 'period')}: times are longer "
                "than on whole cores; raise the quota or use fewer workers",
            )
        )
    if (swapped := sum(sample.swapped_bytes or 0 for sample in samples)) >= _SWAP_BYTES:
        notices.append(
            Notice(
                "swap",
                f"the machine swapped {swapped / 1e6:,.0f} MB while measuring: times include the disk; "
                "use fewer workers or a smaller job",
            )
        )
    hottest = max((s.temperature_c for s in samples if s.temperature_c is not None), default=None)
    if hottest is not None and hottest >= _HOT_C:
        notices.append(
            Notice(
                "temperature",
                f"the CPU reached {hottest:.0f} °C and may have slowed down: let it cool between runs",
            )
        )
    return notices


def _stolen(samples: Iterable[MachineSample]) -> float:
    """The stolen share of the time of samples: each is of the time since the one before it, or since its run began."""
    stolen_s = passed_s = last_s = 0.0
    for sample in samples:
        since_s = sample.t_s - last_s if sample.t_s >= last_s else sample.t_s
        last_s = sample.t_s
        if sample.steal is not None:
            stolen_s, passed_s = stolen_s + sample.steal * since_s, passed_s + since_s
    return stolen_s / passed_s if passed_s >= _LEAST_STEAL_S else 0.0


def _open(path: Path | None) -> int | None:
    if path is None:
        return None
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _read(file: int | None, size: int) -> bytes:
    if file is not None:
        with contextlib.suppress(OSError):  # a sensor may go away
            return os.pread(file, size, 0)
    return b""


def _field(text: bytes, name: bytes) -> int | None:
    """The number after a name at the beginning of a line."""
    _, found, rest = (b"\n" + text).partition(b"\n" + name + b" ")
    with contextlib.suppress(ValueError):
        return int(rest.partition(b"\n")[0]) if found else None
    return None


def _cpu_ticks(stat: bytes) -> list[int] | None:
    """The machine's line of /proc/stat: user nice system idle iowait irq softirq steal.

    Guests' time, which follows, is in user and nice already.
    """
    line = stat.partition(b"\n")[0].split()
    if len(line) < 9 or line[0] != b"cpu":
        return None
    try:
        return [int(part) for part in line[1:9]]
    except ValueError:
        return None


def _used_and_all_s(*, with_own: bool = False) -> tuple[float, float] | None:
    """CPU seconds that others have used, and all CPU seconds that have passed; None: not known."""
    own = 0.0 if with_own else time.process_time()
    file = _open(_ROOT / "proc/stat")
    if file is None:  # no Linux
        import psutil

        times = psutil.cpu_times()
        return float(sum(times) - times.idle - own), float(sum(times))
    ticks = _cpu_ticks(_read(file, 256))
    os.close(file)
    if ticks is None:
        return None
    user, nice, system, idle, iowait, irq, softirq, steal = ticks
    hertz = os.sysconf("SC_CLK_TCK")
    used = user + nice + system + irq + softirq
    return used / hertz - own, (used + idle + iowait + steal) / hertz


def _sensor(root: Path) -> Path | None:
    """The file of the processor's temperature in thousandths of a degree Celsius."""
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if _name(folder / "name") in _SENSORS and (folder / "temp1_input").exists():
            return folder / "temp1_input"
    for folder in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        if _name(folder / "type") in _SENSORS:
            return folder / "temp"
    return None


def _name(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
