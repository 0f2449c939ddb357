"""The fingerprint tells what is there and says null to the rest; limits of containers are honoured."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from lbench.engine.machine import fingerprint as machine
from lbench.engine.machine.fingerprint import (
    Environment,
    cgroup_cores,
    cgroup_memory_bytes,
    cpu_model,
    fingerprint,
    memory_bytes,
    usable_cores,
)
from lbench.engine.machine.thread_variables import BLAS_VARIABLES, THREAD_VARIABLES

FIELDS = [
    "cpu_model",
    "logical_cores",
    "physical_cores",
    "usable_cores",
    "cgroup_quota",
    "cpu_governor",
    "memory_bytes",
    "os",
    "python",
    "packages",
    "blas_threads",
    "load_1m",
    "hostname",
    "variables",
]


def _tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root


def _version_2(root: Path, group: str, files: dict[str, str], mounted_root: str = "/") -> Path:
    return _tree(
        root,
        {
            "proc/self/cgroup": f"0::{group}\n",
            "proc/self/mountinfo": (
                "25 30 0:23 / /proc rw - proc proc rw\n"
                f"31 24 0:27 {mounted_root} /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
            ),
        }
        | {f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    )


def test_the_fingerprint_has_the_fields_of_the_session_document() -> None:
    found = fingerprint()
    assert list(msgspec.to_builtins(found)) == FIELDS
    assert found.logical_cores == os.cpu_count()
    assert found.usable_cores is not None and 0 < found.usable_cores <= (os.cpu_count() or 1)
    assert found.memory_bytes is not None and found.memory_bytes > 2**20
    assert found.packages["numpy"] and found.packages["lbench"]
    assert found.python is not None and found.python.endswith(".".join(map(str, sys.version_info[:3])))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Environment) == found


def test_the_fingerprint_imports_none_of_the_packages_that_it_names() -> None:
    code = (
        "import sys; from lbench.engine.machine.fingerprint import fingerprint; fingerprint(); "
        "print({'numpy', 'sklearn', 'botocore', 'aiohttp', 'moto'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_variables_that_results_may_depend_on_are_recorded_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in machine._VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "dummy")
    assert fingerprint().variables == {"MKL_CBWR": "COMPATIBLE"}


def test_blas_threads_are_the_callers_else_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in BLAS_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    assert fingerprint().blas_threads is None
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert fingerprint().blas_threads == 3
    assert fingerprint(blas_threads=1).blas_threads == 1


def test_the_variables_are_those_that_the_libraries_read() -> None:
    assert set(THREAD_VARIABLES) == {
        "BLIS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    }


def test_without_a_cgroup_there_is_no_limit(tmp_path: Path) -> None:
    assert cgroup_cores(tmp_path) is None
    assert cgroup_memory_bytes(tmp_path) is None
    assert memory_bytes(tmp_path) == memory_bytes(tmp_path / "nowhere")


def test_version_2_limits_hold_from_any_group_above(tmp_path: Path) -> None:
    root = _version_2(
        tmp_path,
        "/user.slice/job.scope",
        {
            "user.slice/cpu.max": "150000 100000\n",
            "user.slice/memory.max": "max\n",
            "user.slice/job.scope/cpu.max": "max 100000\n",
            "user.slice/job.scope/memory.max": "1073741824\n",
        },
    )
    assert cgroup_cores(root) == 1.5
    assert usable_cores(root) == min(1.5, usable_cores(tmp_path / "nowhere"))
    assert cgroup_memory_bytes(root) == memory_bytes(root) == 2**30


def test_a_container_that_sees_its_group_as_the_root_is_read(tmp_path: Path) -> None:
    files = {"cpu.max": "50000 100000\n", "memory.max": "2147483648\n"}
    inside = _version_2(tmp_path / "a", "/docker/abc", files, mounted_root="/docker/abc")
    outside = _version_2(tmp_path / "b", "/../../elsewhere", files)
    for root in (inside, outside):
        assert cgroup_cores(root) == 0.5
        assert cgroup_memory_bytes(root) == 2**31


def test_version_1_limits_are_read(tmp_path: Path) -> None:
    root = _tree(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/box\n2:cpu,cpuacct:/box\n1:name=systemd:/\n0::/\n",
            "proc/self/mountinfo": (
                "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
                "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
            ),
            "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us": "25000\n",
            "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/memory/box/memory.limit_in_bytes": "536870912\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/unified/cgroup.procs": "",
        },
    )
    assert cgroup_cores(root) == 0.25
    assert cgroup_memory_bytes(root) == 512 * 2**20


@pytest.mark.skipif(sys.platform == "darwin", reason="sysctl names the processor there")
def test_the_processor_is_named_on_x86_and_on_arm(tmp_path: Path) -> None:
    x86 = _tree(tmp_path / "x", {"proc/cpuinfo": "processor\t: 0\nmodel name\t: AMD EPYC\n"})
    arm = _tree(tmp_path / "a", {"proc/cpuinfo": "CPU implementer\t: 0x41\nCPU part\t: 0xd40\n"})
    assert cpu_model(x86) == "AMD EPYC"
    named = cpu_model(arm)
    assert named is not None and named.endswith("implementer 0x41 part 0xd40")
