"""Lithops' own Lambda client, unmodified, in a venv of its own: it deploys, lists, invokes and deletes its function.

Layers are not emulated: what its layer would hold is put into the zip on its way out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import io, json, os, sys, zipfile
from pathlib import Path

import lithops
from lithops.serverless.backends.aws_lambda import aws_lambda

client = aws_lambda.AWSLambdaBackend({
    "user_agent": "lithops", "region": "us-east-1", "execution_role": "arn:aws:iam::000000000000:role/lithops",
    "account_id": "000000000000", "user_id": "AIDAUSER", "access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
    "secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"], "vpc": {"subnets": [], "security_groups": []}, "efs": [],
    "env_vars": [{"name": "MINE", "value": "x"}], "ephemeral_storage": 1024, "user_tags": {}, "architecture": "x86_64",
}, None)
client._get_layer = lambda name: "arn:aws:lambda:us-east-1:000000000000:layer:lithops:1"
client._delete_layer = lambda layer: None
name = client._get_default_runtime_name()
found = {}
try:
    client._deploy_default_runtime(name, 256, 180)
except Exception as problem:
    found["layers"] = str(problem)

def without_layers(params, **kwargs):
    del params["Layers"]
    archive = io.BytesIO(params["Code"]["ZipFile"])
    packages = Path(lithops.__file__).parents[1]
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as file:
        there = set(file.namelist())
        for path in packages.rglob("*.*"):
            if path.suffix not in (".py", ".so", ".pem"):
                continue
            inside = path.relative_to(packages).as_posix()
            if not inside.startswith(("pip/", "setuptools/", "pkg_resources/", "botocore/")) and inside not in there:
                file.write(path, inside)
    params["Code"]["ZipFile"] = archive.getvalue()

client.lambda_client.meta.events.register("provide-client-params.lambda.CreateFunction", without_layers)
client._deploy_default_runtime(name, 256, 180)
client._deploy_default_runtime(name, 256, 180)
found["runtimes"] = client.list_runtimes()
found["meta"] = client._generate_runtime_meta(name, 256)["lithops_version"] == lithops.__version__
client.delete_runtime(name, 256)
found["left"] = client.list_runtimes()
print(json.dumps(found))
"""


def test_its_functions_are_deployed_listed_invoked_and_deleted(start: Any, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    python = venv / "bin" / "python"
    try:
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, capture_output=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "lithops[aws]"]
        subprocess.run(install, check=True, capture_output=True)
    except subprocess.CalledProcessError as problem:
        pytest.skip(f"Lithops cannot be installed here: {problem.stderr.decode().strip().splitlines()[-1:]}")
    service = start(activation_s=0.2)
    done = subprocess.run(
        [str(python), "-c", SCRIPT],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **service.exports, "AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert "Layers is not emulated: put the libraries into the zip" in found["layers"]
    ((runtime, memory, _, function),) = found["runtimes"]
    assert (runtime.startswith("default-runtime"), memory, function.startswith("lithops-worker")) == (True, 256, True)
    assert found["meta"] is True
    assert found["left"] == []
