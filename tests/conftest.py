"""For all tests: folders of their own, no way to AWS, and the data files where they are at hand."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# A shell without job control starts what runs in the background with SIGINT ignored, and that is inherited; the tests send
# it to what they start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# A terminal's size that is in the environment stands above the terminal's own; pytest-xdist sets one for its workers.
for _name in ("COLUMNS", "LINES"):
    os.environ.pop(_name, None)

# Python would wait for commands when the tests have ended, and lose their exit code. `./dev hostile` asks for it in what
# the tests start.
_INSPECT = "LBENCH_TEST_INSPECT" in os.environ
os.environ.pop("PYTHONINSPECT", None)

# Before any fixture: settings of this machine's user reach neither what stands for AWS here nor the fixtures' own clients.
# OpenBLAS sums in another order where a variable chooses its kernel: an emulated environment has none of these.
_OTHERS = ("AWS_", "OPENBLAS_")
for _name in [name for name in os.environ if name.startswith(_OTHERS) or name.lower().endswith("_proxy")]:
    del os.environ[_name]
os.environ |= {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


# Of itself Hypothesis fails an example that takes 0.2 s, or a strategy that draws slowly: on a busy machine any does.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is read from or left in the home of whoever runs the tests, and no credentials are found or needed."""
    for name in ("CONFIG", "DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    runtime = tempfile.mkdtemp(prefix="lb-", dir="/tmp")  # a socket's path has at most 104 bytes
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    for name in [name for name in os.environ if name.startswith(("AWS_", "LBENCH_")) and name != "LBENCH_TEST_DATA"]:
        monkeypatch.delenv(name)
    if os.environ.get("LC_ALL") in (
        "C",
        "POSIX",
    ):  # there signs are spelled in ASCII, which tests/cli/test_ascii.py covers
        monkeypatch.delenv("LC_ALL")
    if _INSPECT:
        monkeypatch.setenv("PYTHONINSPECT", "1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    yield
    shutil.rmtree(runtime, ignore_errors=True)


@pytest.fixture(scope="session")
def data_file() -> Callable[[str], Path]:
    """`data_file(NAME)`: a file of $LBENCH_TEST_DATA, else of `../shared/data`; the test is skipped without it."""

    def find(name: str) -> Path:
        folder = Path(os.environ.get("LBENCH_TEST_DATA") or ROOT.parent / "shared" / "data")
        path = folder / name
        if not path.exists():
            pytest.skip(f"{name} is not in {folder}: set LBENCH_TEST_DATA to a folder that has it")
        return path

    return find


@pytest.fixture(scope="session")
def package_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder for tests that make real packages: what one has downloaded and packed is there for the others."""
    return tmp_path_factory.mktemp("packages")


def _module(name: str) -> ModuleType:
    """A module beside this one, for what several folders of tests share."""
    full = f"lbench_tests.{name}"  # moto takes the second part for a service
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None and spec.loader is not None
        sys.modules[full] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[full])
    return sys.modules[full]


@pytest.fixture(scope="session")
def make_events() -> Callable[..., list[Any]]:
    """`make_events({"sequential": [3.0, 3.1], ...}, ...)`: the events of a session with these makespans."""
    made: Callable[..., list[Any]] = _module("session_events").session_events
    return made


@pytest.fixture(scope="session")
def aws_server() -> ModuleType:
    """The module of AWS's control plane on 127.0.0.1, for what it answers with (`refusal` and the like)."""
    return _module("aws_server")


@pytest.fixture(scope="session")
def aws_endpoint(aws_server: ModuleType) -> ModuleType:
    """The module that puts the emulator behind the same endpoint (tests/aws_endpoint.py)."""
    return _module("aws_endpoint")


@pytest.fixture
def aws_lambda(aws: Any, aws_endpoint: ModuleType, tmp_path: Path) -> Iterator[Any]:
    """A `LambdaAtAws`: `deploy()` makes a stack on `aws`, and Invoke goes to the emulator."""
    with aws_endpoint.LambdaAtAws(aws, tmp_path) as there:
        yield there


@functools.cache
def _models() -> Any:
    """Botocore's models, read once."""
    from botocore.loaders import Loader

    return Loader()


@functools.cache
def _small_bundle() -> str:
    """One authority instead of the world's, which take 30 ms to read."""
    import botocore

    end = "-----END CERTIFICATE-----"
    first, _, _ = (Path(botocore.__file__).with_name("cacert.pem")).read_text(encoding="utf-8").partition(end)
    handle, name = tempfile.mkstemp(prefix="lb-", suffix=".pem")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"{first}{end}\n")
    atexit.register(Path(name).unlink)
    return name


@pytest.fixture
def small_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients of botocore are made quickly."""
    monkeypatch.setenv("AWS_CA_BUNDLE", _small_bundle())


@pytest.fixture(scope="session")
def _running_aws(aws_server: ModuleType) -> Iterator[Any]:
    server = aws_server.AwsServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def aws(_running_aws: Any, _apart: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty account (`AwsServer`) that AWS_ENDPOINT_URL leads to, in this process and those that it starts."""
    _running_aws.reset()
    monkeypatch.setenv("AWS_CA_BUNDLE", _small_bundle())  # each client reads it
    monkeypatch.setattr("botocore.session.create_loader", lambda path=None: _models())  # each session reads them
    monkeypatch.setenv("AWS_ENDPOINT_URL", _running_aws.endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return _running_aws


_THEIRS = """
import os

def handler(event, context):
    if event.get("log"):
        print(context.log_stream_name)
    if event.get("fail"):
        raise ValueError("asked to")
    if event.get("slow"):
        import time
        time.sleep(5)
    return {"got": event, "variable": os.environ.get("THEIRS")}
"""


class Theirs:
    """A function that is not lbench's, `theirs` (256 MB, 1 s), in an emulator that stands for AWS's Lambda."""

    variables: ClassVar[dict[str, str]] = {"THEIRS": "of-no-concern"}

    def __init__(self, endpoint: str, code: Path) -> None:
        import boto3

        self.endpoint = endpoint
        self.code = code  # its folder; the handler is app.handler
        self.client = boto3.client(
            "lambda",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="lbench-emulated",
            aws_secret_access_key="lbench-emulated",
        )

    @property
    def now(self) -> dict[str, str]:
        """Its environment variables."""
        configuration = self.client.get_function_configuration(FunctionName="theirs")
        found: dict[str, str] = configuration.get("Environment", {}).get("Variables", {})
        return found

    def wait_for_update(self) -> None:
        """As on AWS, a second change is refused until the first is over."""
        waiter = self.client.get_waiter("function_updated_v2")
        waiter.wait(FunctionName="theirs", WaiterConfig={"Delay": 0.05, "MaxAttempts": 600})


@pytest.fixture(scope="session")
def _running_theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theirs]:
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "app.py").write_text(_THEIRS)
    function = {"name": "theirs", "handler": "app.handler", "code": str(folder), "memory_mb": 256, "timeout_s": 1}
    config = folder / "emulator.json"
    config.write_text(
        json.dumps({"functions": [function], "auth": False, "activation_s": 0})
    )  # its callers sign with other credentials
    argv = [sys.executable, "-m", "lbench.engine.emulator", "--config", str(config)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield Theirs(process.stdout.readline().strip(), folder)
    process.terminate()
    process.stdout.close()
    process.wait(10)


@pytest.fixture
def theirs(_running_theirs: Theirs, _apart: None, small_bundle: None, monkeypatch: pytest.MonkeyPatch) -> Theirs:
    """Somebody's function on what this process and those that it starts take for AWS; its first call is cold."""
    _running_theirs.wait_for_update()  # of the test before
    configuration = {"Environment": {"Variables": Theirs.variables}, "FunctionName": "theirs"}
    _running_theirs.client.update_function_configuration(**configuration)  # its environments end, as on AWS
    _running_theirs.wait_for_update()
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", _running_theirs.endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return _running_theirs


# The longest first: a file runs on one worker, and at the end the other would have nothing to do.
_FIRST = (
    "test_conductor.py",
    "test_deploy_broken_off.py",
    "test_random_hands.py",
    "test_keys.py",
    "test_setup_screen.py",
    "test_explore_screen.py",
    "test_every_workload.py",
    "test_kill_harness.py",
    "test_pty_terminals.py",
    "test_record.py",
    "test_dask.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; the others keep their order."""
    place = {name: number for number, name in enumerate(_FIRST)}
    items.sort(key=lambda item: place.get(item.path.name, len(_FIRST)))
