"""An emulator for a test, and a boto3 client of it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import textwrap
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import pytest

from lbench.workloads.sigv4 import Credentials, Signer


def zipped(**files: str) -> bytes:
    """A zip with `name.py` for each name."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, text in files.items():
            entry = zipfile.ZipInfo(f"{name}.py")
            entry.external_attr = 0o100644 << 16  # readable by Lambda's user
            file.writestr(entry, textwrap.dedent(text))
    return archive.getvalue()


class Running:
    """A running emulator, and the credentials that it has printed (None: it checks none)."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, *, auth: bool = True) -> None:
        assert process.stdout is not None
        self.process, self.folder = process, folder
        self.endpoint = process.stdout.readline().strip()
        printed = [process.stdout.readline() for _ in range(4 if auth else 0)]
        self.exports = dict(re.findall(r"^export (\w+)=(\S+)$", "".join(printed), re.MULTILINE))
        self.credentials = Credentials(
            self.exports.get("AWS_ACCESS_KEY_ID", "any"), self.exports.get("AWS_SECRET_ACCESS_KEY", "any")
        )
        self.client = self.boto3()

    def open(
        self,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        method: str | None = None,
        service: str = "lambda",
    ) -> Any:
        """The open reply to a signed request by urllib."""
        method = method or ("GET" if body is None else "POST")
        target, _, query = path.partition("?")
        signer = Signer(self.credentials, "us-east-1", service)
        host = {"host": self.endpoint.removeprefix("http://")}
        signed = signer.sign(method, target, query, host, hashlib.sha256(body or b"").hexdigest())
        request = urllib.request.Request(self.endpoint + path, body, {**(headers or {}), **signed}, method=method)
        return urllib.request.urlopen(request)

    def boto3(self, key: str | None = None, secret: str | None = None, **more: Any) -> Any:
        key, secret = key or self.credentials.access_key, secret or self.credentials.secret_key
        return boto3.client(
            "lambda",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=botocore.config.Config(retries={"max_attempts": 0}, max_pool_connections=20),
            **more,
        )

    def invoke(self, name: str, event: Any = None, **more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.invoke(
            FunctionName=name, Payload=json.dumps(event), LogType="Tail", **more
        )
        answer["value"] = json.loads(answer["Payload"].read())
        answer["log"] = base64.b64decode(answer["LogResult"]).decode()
        return answer

    def refused(self, operation: str = "invoke", **call: Any) -> dict[str, Any]:
        """The error of a refused operation."""
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            getattr(self.client, operation)(**call)
        answer: dict[str, Any] = caught.value.response
        return answer

    def status(self, what: str) -> dict[str, Any]:
        """The emulator's own endpoint `/_lbench/<what>`."""
        with self.open(f"/_lbench/{what}") as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def environments(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.status("environments")["environments"]
        return listed

    def disturb(self, **conditions: Any) -> None:
        self.open("/_lbench/conditions", json.dumps(conditions).encode(), method="PUT").close()

    def create(self, name: str, *, code: str, **more: Any) -> dict[str, Any]:
        created: dict[str, Any] = self.client.create_function(
            **{
                "FunctionName": name,
                "Runtime": "python3.12",
                "Role": "arn:aws:iam::000000000000:role/any",
                "Handler": "app.handle",
                "Code": {"ZipFile": zipped(app=code)},
                **more,
            }
        )
        return created


Start = Callable[..., Running]


def starter(folder: Path, stack: list[subprocess.Popen[str]]) -> Start:
    def start(code: str = "", functions: dict[str, dict[str, Any]] | None = None, **config: Any) -> Running:
        """`functions`: their settings by name; the handler is the function of that name in `code`."""
        (folder / "app.py").write_text(textwrap.dedent(code))
        specs = [
            {"name": name, "code": str(folder), "handler": f"app.{name}", "timeout_s": 30, **settings}
            for name, settings in (functions or {}).items()
        ]
        if not specs:
            specs = [{"name": "none", "code": str(folder), "handler": "app.none"}]
        path = folder / f"config-{len(stack)}.json"
        path.write_text(json.dumps({"functions": specs, "activation_s": 0, **config}))
        process = subprocess.Popen(
            [sys.executable, "-m", "lbench.engine.emulator", "--config", str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "AWS_EC2_METADATA_DISABLED": "true"},
        )
        stack.append(process)
        return Running(process, folder, auth=config.get("auth", True))

    return start


def stop(stack: list[subprocess.Popen[str]]) -> None:
    for process in stack:
        process.terminate()
    for process in stack:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 0


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    stack: list[subprocess.Popen[str]] = []
    yield starter(tmp_path, stack)
    stop(stack)


@pytest.fixture(scope="module")
def start_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """The same, for all tests of a module."""
    stack: list[subprocess.Popen[str]] = []
    yield starter(tmp_path_factory.mktemp("code"), stack)
    stop(stack)


@pytest.fixture
def make_zip() -> Callable[..., bytes]:
    return zipped
