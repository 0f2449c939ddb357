"""Credentials go nowhere: not into a journal, a log, an export, an error, standard output, or a process's arguments.

Real commands run with keys that can be recognised, well and badly, and all that they have written is searched.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lbench.cli.main import command

HUSH = f"hush{os.getpid()}"  # not that of another suite on this machine, whose processes are seen too
KEY, SECRET, TOKEN = "AKIAHUSHHUSHHUSHHUSH", f"{HUSH}SECRET/0123456789abcdefghij+ABCDEFGH", f"{HUSH}TOKEN" * 20
_RECOGNISED = (KEY.encode(), HUSH.encode())


class Watch:
    """Reads the arguments of all processes, again and again."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    continue  # it has ended


@pytest.fixture
def keys(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Keys that can be recognised; at the end nothing in the home folder holds them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    monkeypatch.setenv("TMPDIR", str(home))
    yield home
    files = [Path(folder) / name for folder, _, names in os.walk(home) for name in names]
    for file in files:
        if file.is_file():
            content = file.read_bytes()
            assert not any(secret in content for secret in _RECOGNISED), file


def run(*arguments: str) -> str:
    """All that the command prints."""
    with Watch() as watch:
        done = subprocess.run(
            [sys.executable, "-m", "lbench", *arguments], capture_output=True, text=True, timeout=60, check=False
        )
    output = done.stdout + done.stderr
    for text in (*watch.seen, output.encode()):
        assert not any(secret in text for secret in _RECOGNISED), text
    assert any(b"lbench" in text for text in watch.seen) or os.name != "posix"
    return output


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="there is no /proc")
def test_a_run_on_lambda_and_its_exports_hold_no_credentials(theirs: Any, keys: Path) -> None:
    arguments = (
        "-p",
        "name=theirs",
        "-p",
        'payload={"fail": 1}',
        "-p",
        "invocations=5",
        "-b",
        "lambda",
        "--concurrency",
        "1",
    )
    assert "ValueError" in run("run", "function", *arguments, "-o", "out.json")
    assert '"lbench.session"' in (keys / "out.json").read_text()
    run("export", "out.json", "--format", "csv", "-o", "out.csv")


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="there is no /proc")
def test_a_refused_signature_gives_a_message_without_the_signed_headers(
    aws: Any, aws_server: Any, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repeated = f"The Canonical String should have been 'GET / host:x x-amz-security-token:{TOKEN} {KEY} {SECRET}'"
    by_service = {"lambda": aws_server.json_refusal("InvalidSignatureException", repeated, 403)}
    other = aws_server.refusal("SignatureDoesNotMatch", repeated, 403)
    aws.rule(lambda request: by_service.get(request.service, other))
    assert "the signature is wrong" in run("run", "function", "-p", "name=f")
    assert "the signature is wrong" in run("doctor")


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="there is no /proc")
@pytest.mark.parametrize("client", ["fast", "aioboto3"])
def test_secrets_in_a_refused_call_are_neither_recorded_nor_printed(aws_lambda: Any, keys: Path, client: str) -> None:
    aws_lambda.deploy()
    repeated = f"The Canonical String should have been 'POST / x-amz-security-token:{TOKEN[:30]} {KEY} {SECRET}'"
    aws_lambda.refusal = 403, "InvalidSignatureException", repeated
    output = run(
        "run", "probe", "--tasks", "2", "--repeats", "1", "-b", f"lambda:client={client}", "-o", "out.json", "--yes"
    )
    assert "the signature is wrong" in output


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="there is no /proc")
def test_a_fault_of_ours_is_written_down_without_credentials(
    keys: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = (
        "import lbench.cli.commands.sessions as s, lbench.cli.main as m, sys\n"
        f"def broken(): raise RuntimeError('made on purpose, with http://me:{HUSH}@host')\n"
        "s.list_sessions = broken\nsys.argv = ['lbench', 'sessions']\nm.command.main(['sessions'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "hush" not in done.stderr
    assert "internal error" in done.stderr and list((keys / "cache" / "lbench" / "faults").iterdir())


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="there is no /proc")
@pytest.mark.parametrize("command", ["status", "doctor", "run function -p name=f"])
def test_a_password_in_an_endpoints_url_is_not_repeated(
    keys: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    for name in ("AWS_ENDPOINT_URL", "LBENCH_S3_ENDPOINT"):
        monkeypatch.setenv(name, f"http://me:{HUSH}@bad host")
    run(*command.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("-b", "dask:scheduler=tcp://me:hushSECRET@127.0.0.1:9"),
        ("-b", "dask:store=s3://me:hushSECRET@bucket/prefix"),
        ("--data", "https://me:hushSECRET@127.0.0.1/x.csv"),
        ("--data", "https://127.0.0.1/x.csv?X-Amz-Signature=hushSECRET"),
    ],
)
def test_a_line_that_quotes_an_argument_leaves_out_its_password(home: Path, arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(command, ["run", "kmeans", *arguments])
    assert done.exit_code == 2 and done.stderr.count("\n") == 1
    assert "hushSECRET" not in done.output and "***" in done.stderr
