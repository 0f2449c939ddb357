"""Samples tell the machine's condition, and null where it does not tell; what disturbs is put in words."""

import os
import sys
from pathlib import Path

import pytest

from lbench.engine.machine.fingerprint import Environment, MachineSample
from lbench.engine.machine.monitor import Sampler, Usage, busy, machine_notices, sample_notices

SYS = "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"


def _write(root: Path, name: str, text: str) -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="ascii")


def test_a_sample_reads_what_the_machine_tells(tmp_path: Path) -> None:
    _write(tmp_path, "proc/stat", "cpu  100 0 100 700 50 0 25 25 10 0\ncpu0 1 2 3\n")
    _write(tmp_path, "proc/loadavg", "1.25 0.50 0.25 2/300 4711\n")
    _write(tmp_path, SYS, "2400000\n")
    _write(tmp_path, "sys/class/hwmon/hwmon0/name", "nvme\n")
    _write(tmp_path, "sys/class/hwmon/hwmon0/temp1_input", "30000\n")
    _write(tmp_path, "sys/class/hwmon/hwmon1/name", "k10temp\n")
    _write(tmp_path, "sys/class/hwmon/hwmon1/temp1_input", "61500\n")
    with Sampler(tmp_path) as sampler:
        assert sampler.read(0.5).steal is None  # no time has passed
        # 100 ticks later, of which 5 were stolen; the guest's are within the user's
        _write(tmp_path, "proc/stat", "cpu  150 0 120 725 50 0 25 30 60 0\n")
        assert sampler.read(1.5) == MachineSample(1.5, load=1.25, steal=0.05, mhz=2400, temperature_c=61.5)


@pytest.mark.parametrize("version", [1, 2])
def test_throttling_and_swap_are_those_since_the_sample_before(tmp_path: Path, version: int) -> None:
    kind, name = ("cgroup", "cpu,cpuacct") if version == 1 else ("cgroup2", "")
    _write(tmp_path, "proc/self/cgroup", f"{2 if name else 0}:{name}:/job\n")
    _write(tmp_path, "proc/self/mountinfo", f"30 20 0:1 / /sys/fs/cgroup rw - {kind} {kind} rw,{name}\n")
    _write(tmp_path, "sys/fs/cgroup/job/cpu.stat", "nr_periods 9\nnr_throttled 2\nthrottled_usec 5\n")
    _write(tmp_path, "sys/fs/cgroup/cpu.stat", "nr_periods 9\nnr_throttled 1\n")
    _write(tmp_path, "proc/vmstat", "pgpgin 77\npswpin 10\npswpout 5\n")
    with Sampler(tmp_path) as sampler:
        _write(tmp_path, "sys/fs/cgroup/job/cpu.stat", "nr_periods 19\nnr_throttled 6\nthrottled_usec 5\n")
        _write(tmp_path, "proc/vmstat", "pgpgin 77\npswpin 11\npswpout 7\n")
        first, second = sampler.read(1), sampler.read(2)
    assert (first.throttled_periods, first.swapped_bytes) == (4, 3 * os.sysconf("SC_PAGE_SIZE"))
    assert (second.throttled_periods, second.swapped_bytes) == (0, 0)


def test_other_sources_of_clock_and_temperature_serve(tmp_path: Path) -> None:
    _write(tmp_path, "proc/cpuinfo", "processor\t: 0\ncpu MHz\t\t: 2596.132\ncache size\t: 1 KB\n")
    _write(tmp_path, "sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n")
    _write(tmp_path, "sys/class/thermal/thermal_zone0/temp", "48000\n")
    with Sampler(tmp_path) as sampler:
        sample = sampler.read(0)
    assert (sample.mhz, sample.temperature_c) == (2596.132, 48)


def test_a_machine_that_tells_nothing_gives_nulls(tmp_path: Path) -> None:
    with Sampler(tmp_path) as sampler:
        sample = sampler.read(3)
    assert (sample.t_s, sample.steal, sample.mhz, sample.temperature_c) == (3, None, None, None)
    assert (sample.throttled_periods, sample.swapped_bytes) == (None, None)


def test_a_closed_sampler_leaves_no_file_open(tmp_path: Path) -> None:
    _write(tmp_path, "proc/stat", "cpu  1 2 3 4 5 6 7 8\n")
    sampler = Sampler(tmp_path)
    file = sampler._stat
    assert file is not None
    sampler.close()
    with pytest.raises(OSError):
        os.fstat(file)
    sampler.close()


def test_others_at_work_are_a_share_of_the_machine() -> None:
    share = busy(0.05)
    assert share is not None and 0 <= share <= 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /proc/stat")
def test_what_others_use_is_all_but_idle_waiting_and_stolen_time_and_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In ticks of user, nice, system, idle, iowait, irq, softirq, steal: 300 pass, of which 130 are used, 30 by us."""
    hertz = os.sysconf("SC_CLK_TCK")
    own_s = iter([7.0, 7.0 + 30 / hertz])
    monkeypatch.setattr("lbench.engine.machine.monitor._ROOT", tmp_path)
    monkeypatch.setattr("lbench.engine.machine.monitor.time.process_time", lambda: next(own_s))
    _write(tmp_path, "proc/stat", "cpu  1000 1000 1000 1000 1000 1000 1000 1000\n")

    def pass_by(_: float) -> None:
        _write(tmp_path, "proc/stat", "cpu  1060 1010 1030 1080 1050 1010 1020 1040\n")

    assert busy(sleep=pass_by) == pytest.approx(100 / 300, abs=0.001)
    usage = Usage()
    assert usage.share() is None
    _write(tmp_path, "proc/stat", "cpu  1160 1010 1030 1180 1050 1010 1020 1040\n")
    assert usage.share() == pytest.approx(0.5)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count their time finely")
def test_busy_is_not_known_when_no_time_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lbench.engine.machine.monitor._used_and_all_s", lambda: (1.0, 2.0))
    assert busy(sleep=lambda _: None) is None


def test_a_calm_machine_has_no_notices() -> None:
    assert machine_notices(Environment(cpu_governor="performance"), 0.02) == []
    assert machine_notices(Environment()) == []
    assert sample_notices([]) == []
    calm = MachineSample(1, steal=0.02, temperature_c=89.9, throttled_periods=0, swapped_bytes=2**20 - 1)
    assert sample_notices([MachineSample(0), calm]) == []


def test_causes_of_unsteady_results_are_reported_in_one_line_with_a_remedy() -> None:
    notices = machine_notices(Environment(cpu_governor="powersave"), 0.4)
    notices += sample_notices([MachineSample(1, steal=0.1), MachineSample(2, steal=0.0, temperature_c=97.2)])
    notices += sample_notices([MachineSample(0, throttled_periods=1), MachineSample(1, swapped_bytes=2**20)])
    assert [notice.code for notice in notices] == [
        "cpu_governor", "machine_busy", "steal", "temperature", "cpu_throttled", "swap",
    ]  # fmt: skip
    assert "throttled the work in 1 period:" in notices[4].text
    assert "swapped 1 MB" in notices[5].text
    assert all("\n" not in notice.text for notice in notices)
    assert "'powersave'" in notices[0].text
    assert "40 %" in notices[1].text
    assert "5.0 %" in notices[2].text
    assert "97 °C" in notices[3].text


@pytest.mark.parametrize(
    ("samples", "text"),
    [
        (
            [MachineSample(1, steal=0.0412), MachineSample(2, steal=0.0), MachineSample(3)],
            "the hypervisor gave 2.1 % of the CPU to other machines: times are longer than necessary; repeat, or use a "
            "dedicated machine",
        ),
        ([MachineSample(1, steal=0.04), MachineSample(2, steal=0.0)], None),  # 2 % on average
        (  # of two runs: 0.3 s of 20 %, 2.7 s without
            [MachineSample(0), MachineSample(0.3, steal=0.2), MachineSample(0), MachineSample(2.7, steal=0.0)],
            None,
        ),
        (
            [MachineSample(0), MachineSample(0.3, steal=0.2), MachineSample(0), MachineSample(0.3, steal=0.22)],
            "the hypervisor gave 21.0 % of the CPU to other machines: times are longer than necessary; repeat, or use a "
            "dedicated machine",
        ),
        ([MachineSample(0), MachineSample(0.49, steal=0.5)], None),  # too short
        (
            [MachineSample(0), MachineSample(0.5, steal=0.5)],
            "the hypervisor gave 50.0 % of the CPU to other machines: times are longer than necessary; repeat, or use a "
            "dedicated machine",
        ),
        (
            [MachineSample(0, throttled_periods=1), MachineSample(1)],
            "a CPU quota throttled the work in 1 period: times are longer than on whole cores; raise the quota or use "
            "fewer workers",
        ),
        (
            [MachineSample(0, throttled_periods=1200), MachineSample(1, throttled_periods=34)],
            "a CPU quota throttled the work in 1,234 periods: times are longer than on whole cores; raise the quota or "
            "use fewer workers",
        ),
        ([MachineSample(0, throttled_periods=0)], None),
        (
            [MachineSample(0, swapped_bytes=2**19), MachineSample(1, swapped_bytes=2**19)],
            "the machine swapped 1 MB while measuring: times include the disk; use fewer workers or a smaller job",
        ),
        (
            [MachineSample(0, swapped_bytes=1_234_000_000)],
            "the machine swapped 1,234 MB while measuring: times include the disk; use fewer workers or a smaller job",
        ),
        ([MachineSample(0, swapped_bytes=2**20 - 1)], None),
        (
            [MachineSample(0, temperature_c=50.0), MachineSample(1, temperature_c=90.0), MachineSample(2)],
            "the CPU reached 90 °C and may have slowed down: let it cool between runs",
        ),
        ([MachineSample(0, temperature_c=89.9)], None),
    ],
)
def test_the_condition_of_the_machine_is_named_from_its_threshold_on(
    samples: list[MachineSample], text: str | None
) -> None:
    assert [notice.text for notice in sample_notices(samples)] == ([] if text is None else [text])


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (
            0.104,
            "other processes use 10 % of this machine's CPU: times will be longer and less steady; stop them, or "
            "measure later",
        ),
        (0.1, None),
        (None, None),
    ],
)
def test_others_are_named_from_a_tenth_of_the_machine_on(share: float | None, text: str | None) -> None:
    assert [notice.text for notice in machine_notices(Environment(), share)] == ([] if text is None else [text])


def test_a_governor_that_changes_the_clock_is_named_with_its_remedy() -> None:
    (notice,) = machine_notices(Environment(cpu_governor="powersave"))
    assert notice.text == (
        "the CPU governor is 'powersave': the clock changes with the load; for steadier times set it to 'performance'"
    )


@pytest.mark.parametrize(
    ("after", "share"),
    [
        ((3.0, 18.0), 0.25),  # of 8 CPU seconds since
        ((0.5, 18.0), 0.0),  # this process's own time is counted more finely
        ((11.0, 18.0), 1.0),
        ((3.0, 10.0), None),  # no time has passed
        (None, None),
    ],
)
def test_what_others_use_is_a_share_of_the_time_that_has_passed(
    monkeypatch: pytest.MonkeyPatch, after: tuple[float, float] | None, share: float | None
) -> None:
    looks = iter([(1.0, 10.0), after] * 2)
    monkeypatch.setattr("lbench.engine.machine.monitor._used_and_all_s", lambda **_: next(looks))
    assert busy(sleep=lambda _: None) == share
    assert Usage().share() == share
