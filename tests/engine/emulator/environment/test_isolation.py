"""What an environment sees of this machine is no more than on Lambda, where namespaces allow it."""

from __future__ import annotations

import os
import stat
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lbench.engine.emulator.core.sandbox import Sandbox
from lbench.engine.emulator.core.spec import FunctionSpec
from lbench.engine.emulator.environment.isolation import can_unshare

pytestmark = pytest.mark.skipif(sys.platform != "linux" or not can_unshare(), reason="no namespaces here")

CODE = r"""
import errno, getpass, json, os, pathlib, pwd, subprocess, sys, tempfile

def outcome(function, *arguments):
    try:
        return function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]

def write(event, context):
    def into(folder):
        path = os.path.join(folder, "lbench-test")
        with open(path, "w") as file:
            file.write("1")
        os.unlink(path)
        return "written"
    folders = ["/tmp", os.getcwd(), os.path.dirname(__file__), "/var/tmp", "/var", "/etc", "/usr", "/dev", "/opt", "/"]
    folders.append(sys.prefix)
    return {folder: outcome(into, folder) for folder in folders}

def look(event, context):
    return {
        "tmp": sorted(os.listdir("/tmp")),
        "gettempdir": tempfile.gettempdir(),
        "shm": os.path.exists("/dev/shm"),
        "root": [os.environ["LAMBDA_TASK_ROOT"], os.getcwd(), os.path.dirname(__file__)],
        "uid": os.getuid(),
        "users": [outcome(os.listdir, folder) for folder in event],
        "null": open("/dev/null").read(),
        "random": len(open("/dev/urandom", "rb").read(3)),
        "ours": sorted(name for name in os.environ if "LBENCH" in name),
    }

def user(event, context):
    home = pathlib.Path.home()
    made = outcome(os.makedirs, home / "cache")
    return [getpass.getuser(), pwd.getpwuid(os.getuid()).pw_gid == os.getgid(), str(home), home.exists(), made]

def fill(event, context):
    written = 0
    with open("/tmp/big", "wb") as file:
        try:
            while True:
                written += file.write(bytes(1_048_576))
                file.flush()
        except OSError as error:
            return [errno.errorcode[error.errno], written]

def semaphores(event, context):
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing.shared_memory import SharedMemory
    results = {}
    def shared():
        SharedMemory(create=True, size=10)
    for make in (multiprocessing.Lock, multiprocessing.Queue, multiprocessing.Pool, shared):
        try:
            make()
            results[len(results)] = "made"
        except OSError as error:
            results[len(results)] = error.errno
    try:
        with ProcessPoolExecutor(1) as pool:
            pool.submit(abs, -1).result()
    except OSError as error:
        results["executor"] = error.errno
    parent, child = multiprocessing.Pipe()  # what works on Lambda
    process = multiprocessing.Process(target=child.send, args=(1,))
    process.start()
    process.join()
    return [results, parent.recv()]

def cpus(event, context):
    child = subprocess.run([sys.executable, "-c", "import os; print(os.cpu_count())"], capture_output=True, text=True)
    return [os.cpu_count(), int(child.stdout), len(os.sched_getaffinity(0))]

def crash(event, context):
    files = sorted(os.listdir("/tmp"))
    if event:
        open("/tmp/kept", "w").write("1")
        os._exit(1)
    return files
"""
# Names in /tmp that an environment needs: those of this interpreter and of lbench, where they are installed below /tmp.
NEEDED = sorted(
    {Path(place).parts[2] for place in (sys.prefix, sys.base_prefix, __file__) if Path(place).is_relative_to("/tmp")}
)
NAMES = ("write", "look", "user", "fill", "semaphores", "cpus", "crash")


@pytest.fixture(scope="module")
def service(start_shared: Any) -> Any:
    return start_shared(CODE, {name: {} for name in NAMES} | {"large": {"handler": "app.cpus", "memory_mb": 8845}})


def test_only_tmp_can_be_written(service: Any) -> None:
    outcomes = service.invoke("write")["value"]
    assert outcomes.pop("/tmp") == "written"
    assert "/var/task" in outcomes
    assert set(outcomes.values()) == {"EROFS"}


def test_the_machine_s_tmp_and_its_users_files_are_hidden(service: Any, tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    seen = service.invoke("look", [str(tmp_path), str(Path.home() / ".ssh")])["value"]
    assert seen["users"] == ["ENOENT", "ENOENT"]
    assert (seen["tmp"], seen["gettempdir"], seen["shm"]) == (NEEDED, "/tmp", False)
    assert seen["root"] == ["/var/task"] * 3
    assert (seen["null"], seen["random"], seen["ours"]) == ("", 3, [])


def test_environments_run_as_users_of_their_own_where_the_emulator_is_root(service: Any) -> None:
    method = service.status("methods")["isolation_method"]
    uid = service.invoke("look", [])["value"]["uid"]
    if os.getuid() != 0:
        assert (method, uid) == ("mounts", os.getuid())
    else:
        assert (method, uid == 0) == ("mounts-and-user", False)


def test_the_user_has_lambda_s_name_and_a_home_that_is_no_folder(service: Any) -> None:
    """Libraries ask for them while they are loaded: without a name getpass and Path.home() would fail here alone."""
    outcomes = service.invoke("user")["value"]
    assert outcomes == ["sbx_user1051", True, "/home/sbx_user1051", False, "EROFS"]


def test_tmp_is_as_large_as_ephemeral_storage_says(service: Any) -> None:
    for _ in range(2):
        assert service.invoke("fill")["value"] == ["ENOSPC", 512 * 1_048_576]


def test_there_are_no_semaphores_and_no_shared_memory(service: Any) -> None:
    results, piped = service.invoke("semaphores")["value"]
    assert set(results.values()) == {38}
    assert "executor" in results
    assert piped == 1


def test_cpus_are_those_of_the_memory_size(service: Any) -> None:
    own = len(os.sched_getaffinity(0))
    assert service.invoke("cpus")["value"] == [2, 2, min(2, own)]
    assert service.invoke("large")["value"] == [5, 5, min(5, own)]


def test_an_environment_that_takes_the_place_of_one_that_crashed_finds_its_tmp(service: Any) -> None:
    assert service.invoke("crash", True)["FunctionError"] == "Unhandled"
    assert service.invoke("crash", False)["value"] == sorted([*NEEDED, "kept"])


def test_a_file_that_lambda_s_user_may_not_read_is_not_read(service: Any, make_zip: Any, tmp_path: Path) -> None:
    for mode, works in ((0o644, True), (0o600, False), (0o640, False)):
        archive = tmp_path / f"{mode}.zip"
        with zipfile.ZipFile(archive, "w") as file:
            entry = zipfile.ZipInfo("app.py")
            entry.external_attr = (stat.S_IFREG | mode) << 16
            file.writestr(entry, "def handle(e, c): return e")
        name = f"mode-{mode:o}"
        service.create(name, code="", Code={"ZipFile": archive.read_bytes()})
        reply = service.invoke(name, 1)
        assert ("FunctionError" not in reply) == works
        if not works:
            assert "Permission denied: '/var/task/app.py'" in reply["value"]["errorMessage"]


def test_a_wrapper_of_the_function_s_own_is_isolated_too(service: Any, tmp_path: Path) -> None:
    archive = tmp_path / "code.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path, mode, text in (
            (
                "app.py",
                0o644,
                "import os\ndef handle(e, c): return [os.environ['UID_OF'], os.environ['TMP_OF'], os.getuid()]",
            ),
            ("start", 0o755, '#!/bin/sh\nexport UID_OF=$(id -u) TMP_OF=$(echo /tmp/*)\nexec "$@"\n'),
        ):
            entry = zipfile.ZipInfo(path)
            entry.external_attr = (stat.S_IFREG | mode) << 16
            file.writestr(entry, text)
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/start"}
    service.create("wrapped", code="", Code={"ZipFile": archive.read_bytes()}, Environment={"Variables": variables})
    uid, tmp, own = service.invoke("wrapped")["value"]
    assert (int(uid), tmp) == (own, " ".join(f"/tmp/{name}" for name in NEEDED) or "/tmp/*")


def test_nothing_of_an_environment_s_mounts_is_seen_outside(service: Any) -> None:
    service.invoke("look", [])
    assert "/var/task" not in Path("/proc/self/mountinfo").read_text()
    assert not Path("/var/task").exists() or os.environ.get("LAMBDA_TASK_ROOT")


def test_a_python_in_a_folder_that_is_hidden_stays_visible(tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    code = tmp_path / "code"
    code.mkdir()
    (code / "app.py").touch()
    tmp_path.chmod(0o700)
    sandbox = Sandbox(tmp_path, [sys.prefix], mounts=True, users=False)
    spec = FunctionSpec(name="f", handler="app.f", code=str(code), python=str(python))
    plan = sandbox.open(spec, code, 0).plan
    targets = [target for _, target in plan["keeps"]]
    assert "/tmp" in plan["covers"]
    assert str(tmp_path / "venv") in targets or not str(tmp_path).startswith("/tmp/")
    assert [str(code), "/var/task"] in plan["keeps"]


def test_the_namespaces_of_a_process_that_has_not_entered_its_own_are_not_kept(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path, [sys.prefix], mounts=True, users=False)
    spec = FunctionSpec(name="f", handler="app.f", code=str(tmp_path))
    room = sandbox.open(spec, tmp_path, 0)
    room.hold(os.getpid())  # this machine's own
    assert room.descriptors == ()
