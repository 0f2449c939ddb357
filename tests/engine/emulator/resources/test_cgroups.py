"""Cgroups are made only where that is allowed, hold their limits, and are removed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from lbench.engine.emulator.resources.cgroups import Home, Place, find, open_home
from lbench.engine.emulator.resources.memory import CgroupMemory
from lbench.engine.emulator.resources.process_tree import Tree
from lbench.engine.emulator.resources.quota import QuotaShare
from lbench.engine.processes.guardian import kill_cgroup, start_ticks

GONE = 2**22 - 1  # no process has this id: the highest that Linux gives


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root folder with a stand-in for cgroups: its files are plain ones, made by whom they are written."""
    (tmp_path / "proc/self").mkdir(parents=True)
    opened, removed = os.open, os.rmdir

    def open_or_make(path: Path, flags: int, *more: int) -> int:
        return opened(path, flags | os.O_CREAT | os.O_TRUNC if flags & os.O_WRONLY else flags, *(more or (0o600,)))

    def remove(path: str) -> None:  # the kernel removes a cgroup's files with it, but never one with cgroups below
        for file in Path(path).iterdir():
            if file.is_file():
                file.unlink()
        removed(path)

    monkeypatch.setattr(os, "open", open_or_make)
    monkeypatch.setattr(os, "rmdir", remove)
    return tmp_path


def version_2(root: Path, own: str = "/", controllers: str = "cpu memory", *, top: bool = True) -> Path:
    (root / "proc/self/cgroup").write_text(f"0::{own}\n")
    (root / "proc/self/mountinfo").write_text(
        "24 1 0:22 / /proc rw - proc proc rw\n30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
    )
    place = root / "sys/fs/cgroup" / own.lstrip("/")
    place.mkdir(parents=True)
    (place / "cgroup.controllers").write_text(controllers)
    (place / "cgroup.subtree_control").write_text("")
    if not top:
        (place / "cgroup.type").write_text("domain")
    return place


def version_1(root: Path, cpu: str = "/", memory: str = "/") -> tuple[Path, Path]:
    (root / "proc/self/cgroup").write_text(f"4:memory:{memory}\n1:cpu,cpuacct:{cpu}\n")
    (root / "proc/self/mountinfo").write_text(
        "30 24 0:26 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n31 24 0:27 / /cg/memory rw - cgroup cgroup rw,memory\n"
    )
    places = root / "cg/cpu" / cpu.lstrip("/"), root / "cg/memory" / memory.lstrip("/")
    for place in places:
        place.mkdir(parents=True)
    return places


def test_a_machine_without_cgroups_has_no_place(tmp_path: Path) -> None:
    assert find("cpu", tmp_path) is None


def test_the_root_of_a_hierarchy_is_a_place(machine: Path) -> None:
    place = version_2(machine)
    assert find("cpu", machine) == find("memory", machine) == Place(str(place), 2, True)


def test_a_missing_controller_has_no_place(machine: Path) -> None:
    version_2(machine, controllers="hugetlb")
    assert find("cpu", machine) is None


def test_each_hierarchy_of_version_1_has_its_own_place(machine: Path) -> None:
    cpu, memory = version_1(machine)
    assert find("cpu", machine) == Place(str(cpu), 1, True)
    assert find("memory", machine) == Place(str(memory), 1, True)


def test_a_cgroup_made_by_a_manager_is_not_ours(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version_1(machine, memory="/batch/job7")
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert find("memory", machine) is None
    assert find("cpu", machine) is not None


def test_a_cgroup_that_belongs_to_this_user_is_ours(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = version_2(machine, "/user.slice/app", top=False)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert find("cpu", machine) is None
    owner = place.stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner or 1000)
    if owner:
        assert find("cpu", machine) == Place(str(place), 2, False)


def test_version_2_is_tried_and_sets_quota_and_limit(machine: Path) -> None:
    version_2(machine)
    place = find("cpu", machine)
    assert place is not None
    home = open_home(place, ("cpu", "memory"))
    assert home is not None
    assert (Path(place.folder) / "cgroup.subtree_control").read_text() == "+cpu +memory"
    assert (home.folder / "cgroup.subtree_control").read_text() == "+cpu +memory"
    folder = home.make("e1")
    home.set_cpus(folder, 0.289)
    assert (folder / "cpu.max").read_text() == "5780 20000"
    home.set_cpus(folder, 0.01)  # the kernel takes no quota below 1 ms
    assert (folder / "cpu.max").read_text() == "1000 100000"
    home.set_memory(folder, 1 << 27)
    assert (folder / "memory.max").read_text() == str(1 << 27)
    assert (folder / "memory.oom.group").read_text() == "1"
    assert home.oom_kills(folder) == 0
    (folder / "memory.events").write_text("low 0\noom 1\noom_kill 2\noom_group_kill 1\n")
    assert home.oom_kills(folder) == 2
    home.close()
    assert not home.folder.exists()


def test_the_folder_is_announced_before_it_is_made(machine: Path) -> None:
    version_2(machine)
    place = find("cpu", machine)
    assert place is not None
    announced: list[tuple[Path, bool]] = []
    home = open_home(place, ("cpu",), lambda path: announced.append((path, path.exists())))
    assert home is not None
    assert announced == [(home.folder, False)]
    home.close()


def test_below_the_top_the_emulator_moves_to_a_leaf_and_back(machine: Path) -> None:
    place = version_2(machine, "/mine", top=False)
    home = open_home(Place(str(place), 2, False), ("cpu",))
    assert home is not None
    assert (home.folder / "emulator/cgroup.procs").read_text() == str(os.getpid())
    assert (place / "cgroup.subtree_control").read_text() == "+cpu"
    home.close()
    assert (place / "cgroup.procs").read_text() == str(os.getpid())
    assert (place / "cgroup.subtree_control").read_text() == "-cpu"
    assert not home.folder.exists()


def test_version_1_sets_quota_and_limit(machine: Path) -> None:
    cpu, _ = version_1(machine)
    home = open_home(Place(str(cpu), 1, True), ("cpu", "memory"))
    assert home is not None
    folder = home.make("e1")
    home.set_cpus(folder, 2.0)
    assert (folder / "cpu.cfs_quota_us").read_text() == "40000"
    assert (folder / "cpu.cfs_period_us").read_text() == "20000"
    home.set_memory(folder, 1 << 27)
    assert (folder / "memory.limit_in_bytes").read_text() == str(1 << 27)
    (folder / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    assert home.oom_kills(folder) == 3
    home.close()


def test_a_kernel_that_refuses_or_ignores_a_limit_is_no_place(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, _ = version_1(machine)
    place = Place(str(cpu), 1, True)
    monkeypatch.setattr(Home, "set_cpus", lambda *_: (_ for _ in ()).throw(PermissionError()))
    assert open_home(place, ("cpu",)) is None
    monkeypatch.setattr(Home, "set_cpus", lambda self, folder, cpus: (folder / "cpu.cfs_quota_us").write_text("-1"))
    assert open_home(place, ("cpu",)) is None
    assert list(cpu.iterdir()) == []
    assert open_home(Place(str(cpu / "not there"), 1, True), ("cpu",)) is None


def test_the_leftovers_of_a_dead_emulator_are_removed_by_the_next(machine: Path) -> None:
    cpu, _ = version_1(machine)
    namespace = Path("/proc/self/ns/pid").stat().st_ino if sys.platform == "linux" else 0
    dead = cpu / f"lbench-{namespace}-{GONE}-123"
    (dead / "e1").mkdir(parents=True)
    reused = cpu / f"lbench-{namespace}-{os.getpid()}-1"  # the id lives, in another process
    reused.mkdir()
    elsewhere = cpu / f"lbench-1-{GONE}-123"  # in another pid namespace: not ours to judge
    elsewhere.mkdir()
    alive = cpu / f"lbench-{namespace}-{os.getppid()}-{start_ticks(os.getppid())}"
    alive.mkdir()
    (cpu / "somebody").mkdir()
    home = open_home(Place(str(cpu), 1, True), ("cpu",))
    assert home is not None
    assert {folder.name for folder in cpu.iterdir()} == {elsewhere.name, alive.name, "somebody", home.folder.name}
    home.close()


class Unpolled:
    """Polling that sees nothing; it also stands for what it attaches."""

    limit_mb = 0

    def attach(self, tree: Tree, limit_mb: int, kill: object) -> Any:
        self.limit_mb = limit_mb
        return self

    def resume(self) -> None: ...

    def pause(self) -> None: ...

    def detach(self) -> None: ...

    def exceeded(self) -> bool:
        return False


def test_files_in_memory_are_allowed_on_top_of_the_limit_which_polling_then_holds(machine: Path) -> None:
    cpu, _ = version_1(machine)
    home = open_home(Place(str(cpu), 1, True), ("memory",))
    assert home is not None
    polled: Any = Unpolled()
    held = CgroupMemory(home, "cgroup-v1", polled).attach(Tree(GONE), 128, lambda: None, 512)
    assert int((home.folder / f"e{GONE}/memory.limit_in_bytes").read_text()) == 640 * 1_048_576
    assert polled.limit_mb == 128
    held.detach()
    home.close()


def test_an_environment_has_two_cpus_in_its_init_and_its_share_then(machine: Path) -> None:
    cpu, _ = version_1(machine)
    home = open_home(Place(str(cpu), 1, True), ("cpu", "memory"))
    assert home is not None
    small, large = QuotaShare(home, "cgroup-v1").attach(Tree(GONE), 0.5), QuotaShare(home, "cgroup-v1")
    quota = home.folder / f"e{GONE}/cpu.cfs_quota_us"
    assert quota.read_text() == "40000"
    small.initialised()
    assert quota.read_text() == "10000"
    small.detach()
    assert not quota.exists()
    held = large.attach(Tree(GONE), 5.0)
    assert quota.read_text() == "100000"
    held.initialised()
    assert quota.read_text() == "100000"
    held.detach()
    home.close()


def test_a_refused_environment_leaves_no_cgroup(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, _ = version_1(machine)
    home = open_home(Place(str(cpu), 1, True), ("cpu", "memory"))
    assert home is not None
    monkeypatch.setattr(home, "add", lambda folder, tree: (_ for _ in ()).throw(PermissionError()))
    with pytest.raises(PermissionError):
        QuotaShare(home, "cgroup-v1").attach(Tree(GONE), 0.5)
    with pytest.raises(PermissionError):
        CgroupMemory(home, "cgroup-v1", cast(Any, Unpolled())).attach(Tree(GONE), 128, lambda: None)
    assert [folder for folder in home.folder.iterdir() if folder.is_dir()] == []
    home.close()


def test_a_kill_for_lack_of_memory_is_known_after_the_end(machine: Path) -> None:
    cpu, _ = version_1(machine)
    home = open_home(Place(str(cpu), 1, True), ("memory",))
    assert home is not None
    held = CgroupMemory(home, "cgroup-v1", cast(Any, Unpolled())).attach(Tree(GONE), 128, lambda: None)
    held.resume()
    held.pause()
    assert not held.exceeded()
    (home.folder / f"e{GONE}/memory.oom_control").write_text("oom_kill 1\n")
    held.detach()
    held.detach()
    assert held.exceeded()
    assert list(home.folder.glob("e*")) == []
    home.close()


# -- with the kernel's own
@pytest.fixture
def home() -> Iterator[Home]:
    place = find("cpu")
    home = None if place is None else open_home(place, ("cpu",))
    if home is None:
        pytest.skip("no cgroup with a CPU quota may be made here")
    yield home
    home.close()
    assert not home.folder.exists()


def test_the_kernel_throttles_a_busy_process(home: Home) -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"], process_group=0) as process:
        tree = Tree(process.pid)
        held = QuotaShare(home, "cgroup-v1").attach(tree, 0.02)
        held.initialised()
        stat = home.folder / f"e{process.pid}/cpu.stat"
        while "nr_throttled 0" in stat.read_text():
            pass
        process.kill()
        process.wait()
        held.detach()
        assert not stat.parent.exists()


def test_a_grandchild_in_its_own_session_and_without_a_mark_goes_with_the_cgroup(home: Home) -> None:
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '600'], env={}, start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
    ) as process:
        assert process.stdout is not None
        grandchild = os.pidfd_open(int(process.stdout.readline()))
        held = QuotaShare(home, "cgroup-v1").attach(Tree(process.pid), 0.2)  # late, as on a busy machine
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        held.detach()
        assert select.select([grandchild], [], [], 10)[0]
        os.close(grandchild)


def test_a_process_that_has_ended_can_be_attached(home: Home) -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    held = QuotaShare(home, "cgroup-v1").attach(Tree(process.pid), 0.2)
    held.detach()
    held.initialised()
    assert kill_cgroup(str(home.folder / f"e{process.pid}")) == 0
