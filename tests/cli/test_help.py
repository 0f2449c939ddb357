"""What there is can be asked, by people and by programs, without loading what computes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lbench import __version__
from lbench.cli.commands import doctor
from lbench.cli.main import command
from lbench.engine.backends import catalog
from lbench.engine.machine.fingerprint import Environment
from lbench.workloads import registry

COMMANDS = ["run", "workloads", "backends", "sessions", "export", "data", "doctor"]
COMMANDS += ["deploy", "status", "destroy", "emulator"]


def stdout(*args: str) -> str:
    result = CliRunner().invoke(command, list(args), prog_name="lbench")
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_lbench_alone_is_its_help(home: Path) -> None:
    assert stdout() == stdout("--help")
    assert all(f"\n  {name} " in stdout() for name in COMMANDS)
    assert stdout("--version") == f"lbench {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_help(home: Path, name: str) -> None:
    assert stdout(name, "--help").startswith(f"Usage: lbench {name}")


def test_workloads_and_backends_are_listed_with_all_their_fields(home: Path) -> None:
    workloads = {one["name"]: one for one in json.loads(stdout("workloads", "--json"))}
    assert set(workloads) == set(registry.all_names())
    size = next(field for field in workloads["mandelbrot"]["parameters"] if field["name"] == "size")
    assert (size["type"], size["default"], size["minimum"]) == ("int", 1000, 1)
    assert size["meaning"]
    backends = {one["name"]: one for one in json.loads(stdout("backends", "--json"))}
    assert set(backends) == set(catalog.names())
    for name in (*workloads, "max_iterations"):
        assert name in stdout("workloads")
    for name in (*backends, "concurrency"):
        assert name in stdout("backends")


@pytest.mark.parametrize("width", ["80", "60"])
def test_lists_fit_a_narrow_terminal(home: Path, monkeypatch: pytest.MonkeyPatch, width: str) -> None:
    monkeypatch.setenv("COLUMNS", width)
    for name in ("workloads", "backends"):
        assert max(map(len, stdout(name).splitlines())) <= max(int(width), 80)


def loaded_by(*args: str) -> set[str]:
    code = (
        "import atexit, sys\nfrom lbench.cli import main\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stderr.split())


def test_help_loads_click_and_nothing_heavy(home: Path) -> None:
    for args in ([], ["--help"], ["--version"]):
        loaded = loaded_by(*args)
        assert "click" in loaded
        assert not loaded & {"numpy", "sklearn", "rich", "msgspec", "asyncio", "botocore", "lbench.engine"}


@pytest.mark.parametrize("args", [["workloads", "--json"], ["workloads"], ["backends"], ["run", "--help"]])
def test_descriptions_load_neither_numpy_nor_botocore(home: Path, args: list[str]) -> None:
    assert not loaded_by(*args) & {"numpy", "sklearn", "botocore", "aioboto3"}


def test_the_help_of_tune_names_its_own_backends_and_not_the_repeats_that_it_decides_itself(home: Path) -> None:
    text = stdout("tune", "--help")
    assert "emulated (default), simulated or lambda" in " ".join(text.split())
    assert not [
        name
        for name in ("sequential", "--repeats", "--for", "--warmup", "--cold-repeats", "--schedule")
        if name in text
    ]
    assert "--repeats" in stdout("run", "--help")
    result = CliRunner().invoke(command, ["tune", "mandelbrot", "--repeats", "3"])
    assert result.exit_code == 2


def test_data_tells_where_loans_come_from_and_what_is_used_of_a_file(home: Path) -> None:
    assert "Lending Club" in stdout("data")
    path = home / "notes.csv"
    path.write_text("a b\n1 2\n")
    result = CliRunner().invoke(command, ["data", str(path)])
    assert result.exit_code == 2 and result.stderr.count("\n") == 1


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """doctor does not ask AWS then."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


@pytest.mark.usefixtures("no_credentials")
def test_doctor_tells_settings_with_their_origin(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LBENCH_MEMORY", "1024")
    findings = stdout("doctor")
    assert "1024  (LBENCH_MEMORY)" in findings
    assert "(default)" in findings
    for what in ("processor", "usable cores", "memory", "Python", "awslambdaric", "cpu_share_method", "sessions"):
        assert what in findings


@pytest.mark.parametrize(
    ("cores", "text"),
    [
        (2.0, "✔ usable cores"),
        (1.5, "with 1.5 cores no backend here can be more than 1.5 times as fast as sequential"),
        (1.0, "with 1 core no backend here can be faster than sequential"),
        (0.5, "with 0.5 cores no backend here can be faster than sequential"),
    ],
)
@pytest.mark.usefixtures("no_credentials")
def test_doctor_says_what_few_cores_allow(home: Path, monkeypatch: pytest.MonkeyPatch, cores: float, text: str) -> None:
    found = Environment(usable_cores=cores, logical_cores=2)
    monkeypatch.setattr("lbench.engine.machine.fingerprint.fingerprint", lambda: found)
    monkeypatch.setattr(doctor, "_SECTIONS", {"This machine": doctor._machine})
    monkeypatch.setenv("COLUMNS", "200")
    assert text in stdout("doctor")


@pytest.mark.usefixtures("no_credentials")
def test_doctor_fails_where_something_cannot_work(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "file"))
    result = CliRunner().invoke(command, ["doctor"])
    assert result.exit_code == 1 and "✘ sessions" in result.stdout
