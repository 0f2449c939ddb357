"""Real clusters on loopback: separate scheduler and worker processes that speak TLS."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificates(folder: Path, name: str = "ours") -> dict[str, str]:
    """A certificate that signs itself, for all sides: `ca`, `cert`, `key`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {"ca": str(cert_file), "cert": str(cert_file), "key": str(key_file)}


_FOREIGN = """
import lbench
lbench.__version__ = "0.0.1"
import lbench._version
lbench._version.__version__ = "0.0.1"
from distributed.cli.dask_worker import main
main()
"""


class Cluster:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self, folder: Path, tls: dict[str, str]) -> None:
        self.folder, self.tls = folder, tls
        self.file = folder / "scheduler.json"
        self._tls_options = [f"--tls-ca-file={tls['ca']}", f"--tls-cert={tls['cert']}", f"--tls-key={tls['key']}"]
        self._environment = os.environ | {"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true"}
        self.scheduler = self._start(
            "distributed.cli.dask_scheduler",
            f"--scheduler-file={self.file}",
            "--host=tls://127.0.0.1",
            "--port=0",
            "--no-dashboard",
        )
        self.workers: list[subprocess.Popen[bytes]] = []
        self._wait(lambda: self.file.exists() and bool(self.file.read_text().strip()))
        self.address = str(json.loads(self.file.read_text())["address"])

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        return self._run([sys.executable, "-m", module, *arguments, *self._tls_options])

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "cluster.log").open("ab") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._environment, cwd=self.folder,
                process_group=0,
            )  # fmt: skip

    def add_worker(self, *, nanny: bool = False, memory: str = "auto") -> subprocess.Popen[bytes]:
        """Start one more worker of one thread; only a nanny replaces it when it ends."""
        worker = self._start(
            "distributed.cli.dask_worker", self.address, "--nthreads=1", "--nanny" if nanny else "--no-nanny",
            "--no-dashboard", "--host=127.0.0.1", f"--local-directory={self.folder}", f"--memory-limit={memory}",
        )  # fmt: skip
        return self._registered(worker)

    def _registered(self, worker: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        self.workers.append(worker)
        self._wait(lambda: (self.folder / "cluster.log").read_text().count("Registered to:") >= len(self.workers))
        return worker

    def _wait(self, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + 180
        while not ready():
            assert time.monotonic() < end and self.scheduler.poll() is None, (self.folder / "cluster.log").read_text()
            time.sleep(0.02)

    @property
    def settings(self) -> str:
        """As `-b dask:...` has them."""
        tls = self.tls
        return f"dask:scheduler={self.address},ca={tls['ca']},cert={tls['cert']},key={tls['key']}"

    def add_foreign_worker(self) -> subprocess.Popen[bytes]:
        """Start a worker whose lbench is of another version."""
        worker = self._run(
            [sys.executable, "-c", _FOREIGN, self.address, "--nthreads=1", "--no-nanny", "--no-dashboard",
             "--host=127.0.0.1", f"--local-directory={self.folder}", *self._tls_options]
        )  # fmt: skip
        return self._registered(worker)

    def close(self) -> None:
        """End all processes."""
        for process in [*self.workers, self.scheduler]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, str]:
    return certificates(tmp_path)


@pytest.fixture
def cluster(tmp_path: Path, tls: dict[str, str]) -> Iterator[Cluster]:
    made = Cluster(tmp_path, tls)
    yield made
    made.close()


@pytest.fixture
def other_certificates(tmp_path: Path) -> dict[str, str]:
    return certificates(tmp_path, "theirs")
