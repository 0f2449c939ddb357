"""`lbench deploy|status|destroy` from the command line: what they say, and one line for what cannot be."""

from __future__ import annotations

import fnmatch
import json
import signal
import socket
import subprocess
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from lbench._version import __version__
from lbench.cli.main import command
from lbench.config.manifest import MANIFEST, Manifest
from lbench.lambda_src.iam_policy import caller_policy
from lbench.lambda_src.package import Built
from lbench.lambda_src.package_file import read_package
from lbench.lambda_src.targets import Target, choose_target
from lbench.workloads import registry

Lbench = Callable[..., "subprocess.CompletedProcess[str]"]
DEPLOY = ("deploy", "--package", "small.zip")


def make_package(path: Path, **changes: Any) -> None:
    """A zip of no workload, which nothing has to be tried of, for a Python that is not here to try it on."""
    manifest = Manifest(
        lbench_version=__version__,
        handler="h.h",
        python="3.14",
        arch="x86_64",
        workloads=(),
        packages={},
        compiled=None,
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MANIFEST, msgspec.json.encode(msgspec.structs.replace(manifest, **changes)))


@pytest.fixture
def run(home: Path) -> Callable[..., Result]:
    """`run("deploy", ...)` in this process, in a folder with small.zip."""
    make_package(home / "small.zip")

    def invoke(*args: str) -> Result:
        return CliRunner().invoke(command, list(args), prog_name="lbench")

    return invoke


def error_line(result: Result) -> str:
    """The one line that it ended with, with exit code 2."""
    assert result.exit_code == 2, (result.exit_code, result.output)
    line = result.stderr.splitlines()[-1]
    assert line.startswith("lbench: ") and "Traceback" not in result.stderr
    assert not result.stdout
    return line


def test_deploy_status_destroy(run: Callable[..., Result], aws: Any) -> None:
    nothing = run("status")
    assert nothing.exit_code == 0 and "create it with `lbench deploy --region us-east-1`" in nothing.stdout
    made = run(*DEPLOY, "--memory", "1769,3008", "--http-api")
    assert made.exit_code == 0, made.output
    assert "lbench in us-east-1 deployed: lbench-1769, lbench-3008 (Python 3.14 on x86_64)" in made.stdout
    assert "the package was not tested on this machine: " in made.stderr and "HTTP API: https://" in made.stdout
    again = run(*DEPLOY)
    assert "is deployed already, and unchanged: lbench-1769, lbench-3008" in again.stdout
    status = run("status")
    assert "UPDATE_COMPLETE" in status.stdout and "1,769, 3,008" in status.stdout and __version__ in status.stdout
    assert "in the logs" in CliRunner().invoke(command, ["status"], prog_name="lbench", env={"COLUMNS": "160"}).stdout
    (one,) = json.loads(run("status", "--json").stdout)
    assert one["deployment"]["memory_mb"] == [1769, 3008] and one["note"] is None
    assert one["idle_usd_month"] == "0.000000" and one["bucket_bytes"] == Path("small.zip").stat().st_size
    assert "Pass --yes" in error_line(run("destroy"))
    assert aws.contents()["functions"] == ["lbench-1769", "lbench-3008"]
    gone = run("destroy", "--yes")
    assert gone.exit_code == 0 and "lbench removed from us-east-1: nothing is left" in gone.stdout
    assert not any(aws.contents().values())
    nothing = run("destroy")  # there is nothing to ask about
    assert (
        nothing.exit_code == 0
        and "no lbench-arm64 in us-east-1 (deployed elsewhere? name its region with --region, its account"
        in nothing.stdout
    )


@pytest.mark.parametrize("base", ["lbench", "mine"])
def test_the_policy_lets_every_command_look_at_the_stacks_of_both_processors(
    run: Callable[..., Result], aws: Any, aws_server: ModuleType, base: str
) -> None:
    """AWS denies a caller before it says that there is no such stack."""
    (allowed,) = (
        one
        for one in caller_policy(base, "us-east-1", account=aws_server.ACCOUNT)["Statement"]
        if one["Sid"] == "Stack"
    )

    def iam(request: Any) -> Any:
        if request.service != "cloudformation":
            return None
        name, action = request.params["StackName"], f"cloudformation:{request.operation}"
        arn = (
            name if name.startswith("arn:") else f"arn:aws:cloudformation:us-east-1:{aws_server.ACCOUNT}:stack/{name}/1"
        )
        if action in allowed["Action"] and any(fnmatch.fnmatch(arn, one) for one in allowed["Resource"]):
            return None
        return aws_server.refusal(
            "AccessDenied", f"User: u is not authorized to perform: {action} on resource: {arn}", 403
        )

    aws.rule(iam)
    for line in (DEPLOY, ("status",), DEPLOY, ("destroy", "--yes"), ("status",)):
        done = run(*line, "--stack", base)
        assert done.exit_code == 0, done.output
    assert {request.params["StackName"] for request in aws.calls if request.operation == "DescribeStacks"} > {
        base,
        f"{base}-arm64",
    }


def test_both_processors_have_stacks_of_their_own(run: Callable[..., Result], aws: Any, home: Path) -> None:
    make_package(home / "arm.zip", arch="arm64")
    assert run(*DEPLOY).exit_code == 0
    assert "-b lambda:memory=1769,arch=arm64\n" in run("deploy", "--package", "arm.zip").stdout
    assert aws.contents()["stacks"] == ["lbench", "lbench-arm64"]
    assert run("destroy", "--yes", "--arch", "arm64").exit_code == 0
    assert aws.contents()["stacks"] == ["lbench"]


def test_a_stack_of_another_version_says_so(run: Callable[..., Result], aws: Any) -> None:
    run(*DEPLOY)
    outputs = aws.stack("lbench").output_map
    assert outputs["Version"].value == __version__
    outputs["Version"].value = "0.0.1"
    assert (
        f"it was made by lbench 0.0.1, this is {__version__}: run `lbench deploy --region us-east-1`"
        in run("status").stdout
    )
    outputs["Format"].value = "0"
    assert "it was made by another version of lbench: run `lbench deploy --region us-east-1`" in run("status").stdout


def test_the_bucket_of_an_interrupted_deployment_is_named(run: Callable[..., Result], aws: Any) -> None:
    run(*DEPLOY)
    del aws.stack("lbench").output_map._output_json_map["Format"]
    assert (
        "no functions are there: run `lbench deploy --region us-east-1` to go on, or `lbench destroy --region us-east-1`"
        in run("status").stdout
    )


def test_a_dry_run_without_credentials_says_everything_as_for_a_new_stack(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    plan = run(*DEPLOY, "--dry-run", "--memory", "512,1024", "--stack", "mine", "--region", "eu-west-1", "--http-api")
    assert plan.exit_code == 0, plan.output
    assert "planned as a new stack, because the present one could not be read: no AWS credentials" in plan.stdout
    assert "mine-512, mine-1024" in plan.stdout and "at rest: " in plan.stdout
    _, parameters, template, policy = plan.stdout.split("\n# ")
    assert json.loads(parameters.partition("\n")[2])["HttpApi"] == "yes"
    assert "Function512" in json.loads(template.partition("\n")[2])["Resources"]
    assert "arn:aws:lambda:eu-west-1:*:function:mine-*" in policy and json.loads(policy.partition("\n")[2])["Version"]


def test_a_dry_run_plans_from_what_is_deployed_and_changes_nothing(run: Callable[..., Result], aws: Any) -> None:
    assert "lbench in us-east-1, a new one\n" in run(*DEPLOY, "--dry-run").stdout
    run(*DEPLOY, "--memory", "512,1769", "--http-api", "--retention-days", "30")
    before = len(aws.calls)
    plan = run(*DEPLOY, "--dry-run", "--memory", "1769,3008").stdout
    assert "lbench in us-east-1, exists (UPDATE_COMPLETE): options that are not given stay as they are" in plan
    assert "functions lbench-1769, lbench-3008: " in plan and "removed   lbench-512\n" in plan
    assert "kept for 30 days" in plan and "HTTP API  for callers" in plan and '"execute-api:Invoke"' in plan
    assert {request.operation for request in aws.calls[before:]} == {"DescribeStacks"}


@pytest.fixture
def packed(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """For which Python and workloads a package was made."""
    asked: list[tuple[str, list[str]]] = []

    def build(target: Target, workloads: Iterable[str] | None, **_: Any) -> Built:
        names = list(registry.names() if workloads is None else workloads)
        asked.append((target.python, names))
        make_package(home / "built.zip", python=target.python, workloads=tuple(names))
        made = read_package(home / "built.zip")
        return Built(
            path=made.path,
            sha256=made.sha256,
            zipped_bytes=made.zipped_bytes,
            manifest=made.manifest,
            parts=(),
            warnings=(),
            cached=False,
        )

    monkeypatch.setattr("lbench.lambda_src.package.build", build)
    monkeypatch.setattr("lbench.engine.backends.lambda_.package.find_python", lambda minor: None)  # nothing is tried
    return asked


def test_python_and_workloads_that_are_not_given_stay_as_they_are_deployed(
    run: Callable[..., Result], aws: Any, packed: list[tuple[str, list[str]]]
) -> None:
    for line, made in (
        ((), (choose_target().python, list(registry.names()))),
        (("--python", "3.14", "--workload", "kmeans", "--workload", "probe"), ("3.14", ["kmeans", "probe"])),
        (("--memory", "1769,3008"), ("3.14", ["kmeans", "probe"])),
        (("--python", "3.12"), ("3.12", ["kmeans", "probe"])),
        (("--workload", "mandelbrot"), ("3.12", ["mandelbrot"])),
    ):
        done = run("deploy", *line)
        assert done.exit_code == 0, done.output
        assert packed[-1] == made
    assert aws.contents()["functions"] == ["lbench-1769", "lbench-3008"]


def test_a_workload_of_a_file_is_never_replaced_by_saying_nothing_of_it(
    run: Callable[..., Result], aws: Any, home: Path, packed: list[tuple[str, list[str]]]
) -> None:
    make_package(home / "mine.zip", workloads=("mine.py:job@0123456789ab",))
    assert run("deploy", "--package", "mine.zip").exit_code == 0
    digest = aws.stack("lbench").stack_parameters["PackageDigest"]
    line = error_line(run("deploy", "--memory", "512"))
    assert "lbench in us-east-1 runs your mine.py:job" in line and "for example --workload ./mine.py:job" in line
    assert not packed and aws.stack("lbench").stack_parameters["PackageDigest"] == digest


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--memory", "64"), "--memory must be from 128 to 10240 MB, got 64"),
        (("--memory", "1769;3008"), "--memory must be sizes in MB, for example 1769,3008, got 1769;3008"),
        (("--memory", ""), "--memory must be sizes in MB"),
        (("--arch", "sparc"), "--arch must be arm64 or x86_64, got sparc"),
        (("--arch", "arm64"), "small.zip is for x86_64: omit --arch"),
        (("--python", "3.13"), "small.zip is for 3.14: omit --python"),
        (("--workload", "mandelbrot"), "--package and --workload exclude each other"),
        (("--stack", "no/name"), "stack name must have 1 to 36 letters"),
        (("--stack", ""), "stack name must have"),
        (("--stack", "lbench-arm64"), "must not end in -arm64"),
        (("--retention-days", "2"), "--retention-days must be one of 1, 3, 5"),
        (("--retention-days", "week"), "--retention-days must be a whole number, got week"),
        (("--ephemeral", "99999"), "--ephemeral must be from 512 to 10240 MB, got 99999"),
        (("--package", "none.zip"), "none.zip does not exist"),
        (("--package", "old.zip"), f"old.zip was made by lbench 0.0.1, this is {__version__}"),
        (("--package", "ancient.zip"), "the Python of ancient.zip must be one of 3.12"),
        (("--region", "nowhere land"), "region"),
        (("--region", ""), "--region must be an AWS region"),
    ],
)
def test_bad_input_gets_one_line(run: Callable[..., Result], home: Path, options: tuple[str, ...], line: str) -> None:
    make_package(home / "old.zip", lbench_version="0.0.1")
    make_package(home / "ancient.zip", python="3.9")
    assert line in error_line(run(*DEPLOY, *options))


def test_an_unknown_workload_gets_a_suggestion(run: Callable[..., Result]) -> None:
    assert "unknown workload 'mandelbrt': did you mean 'mandelbrot'?" in error_line(
        run("deploy", "--workload", "mandelbrt")
    )


@pytest.mark.parametrize("name", ["deploy", "status", "destroy"])
def test_without_credentials_each_says_what_to_do(
    run: Callable[..., Result], aws: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    assert "no AWS credentials: set AWS_PROFILE, or run `aws configure`" in error_line(
        run(*(DEPLOY if name == "deploy" else (name,)))
    )
    assert aws.calls == []


def test_without_a_network_it_says_so(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setattr("lbench.config.aws._ATTEMPTS", 1)
    assert "cannot be reached: is there a network" in error_line(run("status"))


def test_a_sign_on_page_in_between_is_recognised(run: Callable[..., Result], aws: Any, aws_server: ModuleType) -> None:
    page = aws_server.Answer(502, b"<!doctype html><title>Welcome to our hotel<p>", "text/html")
    aws.fail("cloudformation", "DescribeStacks", page)
    assert "the reply is not from AWS: is a proxy or a sign-on page in between?" in error_line(run("status"))


def test_rejections_have_a_remedy(run: Callable[..., Result], aws: Any, aws_server: ModuleType) -> None:
    refusal = aws_server.refusal
    for service, operation, code, text, remedy in (
        (
            "sts",
            "GetCallerIdentity",
            "ExpiredToken",
            "The security token included in the request is expired",
            "have expired",
        ),
        (
            "sts",
            "GetCallerIdentity",
            "InvalidClientTokenId",
            "The security token is invalid.",
            "does not know these credentials",
        ),
        (
            "cloudformation",
            "CreateStack",
            "AccessDenied",
            "User: arn:aws:iam::123456789012:user/u is not authorized to perform: cloudformation:CreateStack on resource: x",
            "may not do cloudformation:CreateStack: have the policy attached that `lbench deploy --dry-run` prints",
        ),
    ):
        aws.reset()
        aws.fail(service, operation, refusal(code, text, 403))
        assert remedy in error_line(run(*DEPLOY))
        assert not any(aws.contents().values())
    aws.reset()
    kms = "User is not authorized to perform: kms:GenerateDataKey on resource: arn:aws:kms:us-east-1:1:key/k"
    aws.fail("s3", r"PUT /lbench-bucket-\w+/code/.*", aws_server.s3_refusal("AccessDenied", kms))
    assert "the KMS key was refused" in error_line(run(*DEPLOY))
    assert "lbench removed" in run("destroy", "--yes").stdout


@pytest.mark.parametrize(
    ("why", "remedy"),
    [
        ("lbench-bucket-x already exists", "already exists: remove it, or deploy under another name with --stack"),
        (
            "User: arn:aws:iam::1:user/u is not authorized to perform: iam:CreateRole on resource: r",
            "may not do iam:CreateRole: have the policy attached",
        ),
        ("You have reached the maximum number of buckets: limit exceeded", "Service Quotas"),
    ],
)
def test_a_creation_that_fails_says_why_in_one_line(
    run: Callable[..., Result], aws: Any, why: str, remedy: str
) -> None:
    aws.roll_back_creation("Bucket", "AWS::S3::Bucket", why)
    line = error_line(run(*DEPLOY))
    assert "cannot deploy lbench in us-east-1: Bucket (AWS::S3::Bucket): " in line and remedy in line
    assert not any(aws.contents().values())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_broken_off_by_a_signal_it_says_how_to_go_on(
    aws: Any,
    run: Callable[..., Result],
    started: Callable[..., subprocess.Popen[str]],
    number: signal.Signals,
    code: int,
) -> None:
    aws.looks = 1_000_000
    process = started(*DEPLOY)
    assert process.stderr is not None
    for line in process.stderr:
        if "waiting for the stack lbench" in line:
            break
    process.send_signal(number)
    assert (
        "interrupted: AWS continues what it has started; run the same command again to continue"
        in process.stderr.read()
    )
    assert process.wait() == code
    aws.finish()
    assert "lbench in us-east-1 deployed" in run(*DEPLOY).stdout
    assert run("destroy", "--yes").exit_code == 0
    assert not any(aws.contents().values())


def test_destroy_asks_on_a_terminal(run: Callable[..., Result], aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run(*DEPLOY)
    for answer, code, left in (("n\n", 130, 1), ("y\n", 0, 0)):
        with monkeypatch.context() as patch:
            patch.setattr("lbench.cli.commands.destroy._asks_somebody", lambda: True)
            asked = CliRunner().invoke(command, ["destroy"], input=answer, prog_name="lbench")
        assert asked.exit_code == code
        assert "lbench, a moment old: functions of 1769 MB, its bucket with all" in asked.stderr
        assert "Remove it from account 123456789012 in us-east-1?" in asked.stderr
        assert len(aws.contents()["stacks"]) == left


@pytest.mark.parametrize("stack", [True, False])
def test_destroy_asks_about_what_is_left_of_a_stack_apart(
    run: Callable[..., Result], aws: Any, monkeypatch: pytest.MonkeyPatch, stack: bool
) -> None:
    import boto3

    from lbench.config.deployment import TAG

    if stack:
        run(*DEPLOY)
    boto3.client("logs").create_log_group(logGroupName="stray", tags={TAG: "lbench"})
    assert "Pass --yes" in error_line(run("destroy"))
    assert "stray" in aws.contents()["logs"]
    monkeypatch.setattr("lbench.cli.commands.destroy._asks_somebody", lambda: True)
    asked = CliRunner().invoke(command, ["destroy"], input="y\nn\n" if stack else "n\n", prog_name="lbench")
    assert asked.exit_code == 130 and "log-group:stray has the tag of a stack that no longer exists" in asked.stderr
    assert aws.contents()["logs"] == ["stray"] and aws.contents()["stacks"] == []
    asked = CliRunner().invoke(command, ["destroy"], input="y\n", prog_name="lbench")
    assert asked.exit_code == 0 and "log-group:stray\n" in asked.stdout
    assert aws.contents()["logs"] == []
