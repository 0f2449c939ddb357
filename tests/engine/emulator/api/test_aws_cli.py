"""The AWS CLI, unmodified, in a venv of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    venv = tmp_path_factory.mktemp("aws")
    python = venv / "bin" / "python"
    try:
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, capture_output=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "awscli"],
            check=True,
            capture_output=True,
        )
    except subprocess.CalledProcessError as problem:
        pytest.skip(f"the AWS CLI cannot be installed here: {problem.stderr.decode().strip().splitlines()[-1:]}")

    def run(service: Any, *arguments: str) -> Any:
        done = subprocess.run(
            [str(python), str(venv / "bin" / "aws"), "lambda", *arguments],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(venv),
                **service.exports,
                "AWS_EC2_METADATA_DISABLED": "true",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    return run


def test_a_function_is_created_invoked_changed_and_deleted(
    start: Any, aws: Callable[..., Any], make_zip: Any, tmp_path: Path
) -> None:
    service = start(activation_s=0.5)
    package, out = tmp_path / "code.zip", tmp_path / "out"
    package.write_bytes(make_zip(app="def handle(event, context):\n    return event\n"))
    role = "arn:aws:iam::000000000000:role/any"
    output = aws(
        service, "create-function", "--function-name", "mine", "--runtime", "python3.12", "--role", role,
        "--handler", "app.handle", "--zip-file", f"fileb://{package}",
    )  # fmt: skip
    assert output["FunctionName"] == "mine"
    assert aws(service, "wait", "function-active-v2", "--function-name", "mine") is None
    payload = tmp_path / "payload"
    payload.write_text('{"a": "ž"}')
    output = aws(
        service, "invoke", "--function-name", "mine", "--payload", f"fileb://{payload}", "--log-type", "Tail",
        str(out),
    )  # fmt: skip
    assert (output["StatusCode"], output["ExecutedVersion"]) == (200, "$LATEST")
    assert json.loads(out.read_text()) == {"a": "ž"}
    output = aws(service, "update-function-configuration", "--function-name", "mine", "--memory-size", "256")
    assert (output["MemorySize"], output["LastUpdateStatus"]) == (256, "InProgress")
    assert aws(service, "wait", "function-updated-v2", "--function-name", "mine") is None
    output = aws(service, "publish-version", "--function-name", "mine")
    assert (output["Version"], output["State"]) == ("1", "Active")
    arn = output["FunctionArn"].removesuffix(":1")
    assert aws(service, "tag-resource", "--resource", arn, "--tags", "a=b") is None
    assert aws(service, "list-tags", "--resource", arn) == {"Tags": {"a": "b"}}
    other = arn.replace("us-east-1", "us-west-2")
    assert "not reachable in this region" in aws(service, "delete-function", "--function-name", other)
    assert len(aws(service, "list-functions")["Functions"]) == 2
    assert aws(service, "delete-function", "--function-name", "mine") in (None, {"StatusCode": 204})
    assert "ResourceNotFoundException" in aws(service, "get-function", "--function-name", "mine")
