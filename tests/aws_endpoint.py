"""One endpoint for all of AWS: Invoke goes to our emulator, everything else to moto's server (`aws_server`).

GetAccountSettings and GetFunctionConcurrency are recorded answers, checked by botocore's model. What the functions log is
put into moto's CloudWatch Logs, as Lambda does: for synchronous calls, whose log tail returns it.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import boto3
import botocore.session
from botocore.validate import validate_parameters
from moto.logs.models import logs_backends

from lbench._version import __version__

ACCOUNT = "123456789012"
REGION = "us-east-1"
LOG_GROUP = "lbench-logs"
_INVOKE = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")
_FRONT = "/front/"
_PASSED = (
    "content-type",
    "x-amz-invocation-type",
    "x-amz-log-type",
    "authorization",
    "x-amz-date",
    "x-amz-content-sha256",
)


class LambdaAtAws:
    """The account's Lambda. The emulator starts with the first call, with a function for each size of the stack."""

    def __init__(self, aws: Any, folder: Path) -> None:
        self.aws = aws
        self.endpoint: str = aws.endpoint
        self.quota = 1000  # the account's
        self.reserved: int | None = None  # the function's
        self.may_invoke = True  # the caller's permission
        self.refusal: tuple[int, str, str] | None = None  # status, code and text of Invoke's, whoever asks
        self.tails = True  # whether the answers of Invoke have them
        self.invoked: list[tuple[str, str, int]] = []  # function, invocation type, status
        self.package: Path | None = None  # a zip of `lbench package`; None: lbench as it runs here
        self.own: dict[str, bytes] | None = None  # without a package: a user's files, which travel with lbench
        self.conditions: dict[str, Any] = {}
        self._folder = folder
        self._names: list[tuple[str, int]] = []
        self._process: subprocess.Popen[str] | None = None
        self._emulator = ""

    def __enter__(self) -> Self:
        self.aws.first = self._first
        self.aws.rule(self._limits)
        return self

    def __exit__(self, *_: object) -> None:
        self.aws.first = None
        if self._process is not None:
            assert self._process.stdout is not None
            self._process.send_signal(signal.SIGTERM)
            self._process.stdout.close()
            self._process.wait(10)

    def client(self, service: str) -> Any:
        """boto3's, for this account."""
        return boto3.client(service, endpoint_url=self.endpoint, region_name=REGION)

    def deploy(self, stack: str = "lbench", memory: tuple[int, ...] = (1769,), **outputs: str) -> str:
        """A stack with a bucket, a log group and the outputs of a deployment; returns the bucket."""
        outputs = {
            "Format": "1",
            "Version": __version__,
            "Architecture": "x86_64",
            "Python": "3.13",
            "PackageDigest": "0" * 64,
            "Workloads": "mandelbrot,probe,",
            "Memory": ",".join(str(size) for size in memory),
            "Timeout": "900",
            "EphemeralStorage": "512",
            "LogGroup": LOG_GROUP,
            **outputs,
        }
        values: dict[str, Any] = {name: {"Value": value} for name, value in outputs.items() if value}
        values["Bucket"] = {"Value": {"Ref": "Bucket"}}
        template = {
            "AWSTemplateFormatVersion": "2010-09-09",
            "Resources": {
                "Bucket": {"Type": "AWS::S3::Bucket"},
                "LogGroup": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": outputs["LogGroup"]}},
            },
            "Outputs": values,
        }
        self.client("cloudformation").create_stack(StackName=stack, TemplateBody=json.dumps(template))
        return self._take(stack, memory)["Bucket"]

    def adopt(self, stack: str = "lbench") -> dict[str, str]:
        """Run what `lbench deploy` has put there, the very zip; returns the stack's outputs."""
        found = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        outputs = {one["OutputKey"]: one["OutputValue"] for one in found["Outputs"]}
        key = next(one["ParameterValue"] for one in found["Parameters"] if one["ParameterKey"] == "PackageKey")
        self.package = self._folder / "deployed.zip"
        self.package.write_bytes(self.client("s3").get_object(Bucket=outputs["Bucket"], Key=key)["Body"].read())
        return self._take(stack, tuple(int(size) for size in outputs["Memory"].split(",")))

    def _take(self, stack: str, memory: tuple[int, ...]) -> dict[str, str]:
        found = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
        outputs = {one["OutputKey"]: one["OutputValue"] for one in found}
        self._names = [(f"{stack}-{size}", size) for size in memory]
        self._group, self._stream = outputs.get("LogGroup", LOG_GROUP), "2026/11/22/[$LATEST]tests"
        self.client("logs").create_log_stream(logGroupName=self._group, logStreamName=self._stream)
        return outputs

    def keys(self, bucket: str) -> list[str]:
        """All objects in a bucket."""
        return [one["Key"] for one in self.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]

    def log(self, *lines: str) -> None:
        """As the platform writes them."""
        events = [{"timestamp": int(time.time() * 1000), "message": line} for line in lines]
        logs_backends[ACCOUNT][REGION].put_log_events(self._group, self._stream, events)

    # -- behind the endpoint
    def _first(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes] | None:
        path = environ["PATH_INFO"]
        found = _INVOKE.fullmatch(path)
        if found is not None:
            function, target = found[1], path
        elif path.startswith(_FRONT):
            function = next(name for name, size in self._names if str(size) == path[len(_FRONT) :])
            target = f"/_lbench/http-api/{function}"
        else:
            return None
        if function not in [name for name, _ in self._names]:
            return None
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        dry = environ.get("HTTP_X_AMZ_INVOCATION_TYPE") == "DryRun"
        refusal = self.refusal if not dry else None
        if found is not None and not self.may_invoke:
            user = f"arn:aws:iam::{ACCOUNT}:user/me"
            message = f"User: {user} is not authorized to perform: lambda:InvokeFunction on resource: x"
            refusal = 403, "AccessDeniedException", message
        if refusal is not None or dry:
            status, code, text = refusal or (204, "", "")
            content = json.dumps({"Message": text}).encode() if refusal else b""
            named = [("x-amzn-ErrorType", code)] if refusal else []
            start_response(f"{status} -", [*named, ("Content-Length", str(len(content)))])
            return [content]
        headers = {
            name: environ[variable]
            for name in _PASSED
            if (variable := "HTTP_" + name.upper().replace("-", "_")) in environ
        }
        headers["content-type"] = environ.get("CONTENT_TYPE") or "application/json"
        host, _, port = self._running().removeprefix("http://").partition(":")
        connection = http.client.HTTPConnection(host, int(port))
        try:
            connection.request("POST", target, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            answered = {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()
        self.invoked.append((function, headers.get("x-amz-invocation-type", "http-api"), answer.status))
        self._take_log(answered)
        for name in ("content-length", "connection", "date", "server"):
            answered.pop(name, None)
        start_response(f"{answer.status} -", [*answered.items(), ("Content-Length", str(len(content)))])
        return [content]

    def _take_log(self, headers: dict[str, str]) -> None:
        tail = headers.get("x-amz-log-result")
        if tail is not None:
            self.log(*filter(str.strip, base64.b64decode(tail).decode("utf-8", "replace").split("\n")))
            if not self.tails:
                del headers["x-amz-log-result"]

    def _limits(self, request: Any) -> Any:
        """What moto lacks of Lambda."""
        if request.service != "lambda" or not request.operation.startswith("GET "):
            return None
        if "/account-settings" in request.operation:
            settings = {
                "AccountLimit": {"ConcurrentExecutions": self.quota, "UnreservedConcurrentExecutions": self.quota}
            }
            return self._recorded("GetAccountSettings", settings)
        if request.operation.endswith("/concurrency"):
            held = {} if self.reserved is None else {"ReservedConcurrentExecutions": self.reserved}
            return self._recorded("GetFunctionConcurrency", held)
        return None

    @staticmethod
    def _recorded(operation: str, fields: dict[str, Any]) -> Any:
        model = botocore.session.get_session().get_service_model("lambda").operation_model(operation)
        validate_parameters(fields, model.output_shape)
        return sys.modules["lbench_tests.aws_server"].Answer(200, json.dumps(fields).encode(), "application/json")

    def _running(self) -> str:
        with self.aws._lock:
            if self._process is None:
                self._launch()
        return self._emulator

    def _launch(self) -> None:
        config = self._folder / "emulator.json"
        config.write_text(
            json.dumps(
                {
                    "functions": [self._spec(name, size) for name, size in self._names],
                    "conditions": self.conditions,
                    "front_timeout_s": 30.0,
                }
            )
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lbench.engine.emulator", "--no-auth", "--config", str(config)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "AWS_EC2_METADATA_DISABLED": "true"},
        )
        assert self._process.stdout is not None
        self._emulator = self._process.stdout.readline().strip()

    def _spec(self, name: str, memory_mb: int) -> dict[str, Any]:
        spec: dict[str, Any] = {
            "name": name,
            "handler": "lbench.lambda_src.handler.handle",
            "memory_mb": memory_mb,
            "timeout_s": 900,
            "environment": {"AWS_ACCESS_KEY_ID": "role", "AWS_SECRET_ACCESS_KEY": "role"},
        }
        if self.package is not None:
            from lbench.engine.backends.lambda_.package import open_package

            found = open_package(str(self.package))
            return spec | {"code": str(found.path), "python": found.python, "libraries": list(found.libraries)}
        from lbench.engine.emulator.core.code_folder import code_folder

        folder, digest = code_folder(self.own)
        return spec | {"code": str(folder), "code_sha256": digest}
