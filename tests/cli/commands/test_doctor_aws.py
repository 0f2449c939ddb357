"""What `lbench doctor` says of AWS: a verdict and a remedy a line, quick and silent where nothing is configured.

IAM's simulation and the account's settings are recorded answers: moto has neither.
"""

from __future__ import annotations

import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import botocore.session
import msgspec
import pytest
from botocore.parsers import create_parser
from click.testing import CliRunner

from lbench._version import __version__
from lbench.cli import doctor_aws
from lbench.cli.doctor_aws import aws_findings
from lbench.cli.findings import Finding
from lbench.cli.main import command
from lbench.config.deployment import TAG
from lbench.lambda_src.stack import Stack

ACCOUNT = "123456789012"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is imported while credentials are looked for takes long on a busy machine."""
    monkeypatch.setattr(doctor_aws, "_PATIENCE_S", 300.0)


def look(*, asked: bool = False, region: str | None = None, stack: str = "lbench") -> dict[str, Finding]:
    return {finding.what: finding for finding in aws_findings(asked=asked, region=region, stack=stack)}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No credentials; the configuration file that is read."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws-config"))
    return tmp_path / "aws-config"


@pytest.fixture
def simulated(aws: Any, aws_server: ModuleType) -> Any:
    """IAM that simulates: what is in `denied` is not allowed."""
    answers = SimpleNamespace(denied=set(), sources=set())

    def rule(request: Any) -> Any:
        if request.operation != "SimulatePrincipalPolicy":
            return None
        answers.sources.add(request.params["PolicySourceArn"])
        actions = [value for name, value in request.params.items() if name.startswith("ActionNames.member.")]
        results = "".join(
            f"<member><EvalActionName>{action}</EvalActionName><EvalDecision>"
            f"{'implicitDeny' if action in answers.denied else 'allowed'}</EvalDecision></member>"
            for action in actions
        )
        body = (
            '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">'
            f"<SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults>{results}"
            "</EvaluationResults></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
        ).encode()
        model = botocore.session.get_session().get_service_model("iam").operation_model("SimulatePrincipalPolicy")
        raw = {"status_code": 200, "headers": {}, "body": body}
        assert len(create_parser("query").parse(raw, model.output_shape)["EvaluationResults"]) == len(actions)
        return aws_server.Answer(200, body)

    aws.rule(rule)
    return answers


def identity(aws: Any, aws_server: ModuleType, arn: str) -> None:
    body = (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
        f"<Arn>{arn}</Arn><UserId>AIDA</UserId><Account>{ACCOUNT}</Account>"
        "</GetCallerIdentityResult></GetCallerIdentityResponse>"
    ).encode()
    aws.rule(lambda request: aws_server.Answer(200, body) if request.operation == "GetCallerIdentity" else None)


def test_without_credentials_nothing_is_asked(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    bare.write_text("[default]\nregion = eu-west-1\n")  # a region alone is no credentials
    (finding,) = look().values()
    assert (finding.verdict, finding.what) == ("note", "credentials") and "AWS was not asked" in finding.found
    assert "--aws" in finding.remedy


def test_asked_for_without_credentials_it_is_bad_with_the_remedy(bare: Path) -> None:
    (finding,) = look(asked=True).values()
    assert finding.verdict == "bad" and finding.found.startswith("no AWS credentials: set AWS_PROFILE")


def test_an_expired_sign_on_ends_the_questions(bare: Path) -> None:
    bare.write_text(
        "[default]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n"
        "[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://x.test/start\n"
    )
    (finding,) = look().values()
    assert finding.verdict == "bad" and "run `aws sso login`" in finding.found


def test_all_is_well(aws_lambda: Any, simulated: Any) -> None:
    aws_lambda.deploy()
    found = look()
    assert list(found) == ["credentials", "region", "identity", "clock", "permissions", "quota", "deployment"]
    assert found["credentials"].found.startswith("from env")
    assert found["region"].found == "us-east-1 (AWS_DEFAULT_REGION)"
    assert found["identity"].found.startswith("arn:aws:sts::")
    assert found["clock"].verdict == "good" and found["quota"].verdict == "good"
    assert found["permissions"].verdict == "good" and "simulated" in found["permissions"].found


OUTPUTS = {
    "Format": "1",
    "Architecture": "x86_64",
    "Python": "3.13",
    "Version": __version__,
    "PackageDigest": "ab" * 32,
    "Workloads": "probe",
    "Bucket": "b",
    "Memory": "1769,3008",
    "Timeout": "900",
    "EphemeralStorage": "512",
    "LogGroup": "l",
}


@pytest.mark.parametrize(
    ("change", "verdict", "expected"),
    [
        ({}, "good", f"lbench {__version__}, package abababababab, functions of 1,769, 3,008 MB"),
        ({"outputs": OUTPUTS | {"Version": "0.0.1"}}, "weak", "run `lbench deploy --region us-east-1`"),
        ({"outputs": OUTPUTS | {"Format": "9"}}, "bad", "run `lbench deploy --region us-east-1`, or"),
        ({"outputs": {}}, "bad", "to continue, or `lbench destroy --region us-east-1`"),
        ({"tags": {}}, "bad", "lbench did not create"),
        ({"status": "UPDATE_IN_PROGRESS"}, "weak", "wait until it has ended"),
    ],
    ids=["as it should be", "of another version", "of another format", "half made", "somebody else's", "changing"],
)
def test_a_deployment_has_state_version_and_digest(change: Any, verdict: str, expected: str) -> None:
    stack = Stack(
        name="lbench",
        id="x",
        status="CREATE_COMPLETE",
        reason=None,
        created=datetime.now(UTC),
        updated=None,
        outputs=OUTPUTS,
        parameters={},
        tags={TAG: "lbench"},
    )
    finding = doctor_aws._deployment(msgspec.structs.replace(stack, **change), "us-east-1")
    assert finding.verdict == verdict and expected in f"{finding.found}: {finding.remedy}"


def test_where_nothing_is_deployed_that_is_a_note(aws_lambda: Any, simulated: Any) -> None:
    finding = look(stack="other")["deployment"]
    assert (finding.verdict, finding.found) == ("note", "no stack other in us-east-1")


def test_what_may_not_be_done_is_named(aws: Any, simulated: Any) -> None:
    simulated.denied |= {"iam:CreateRole", "lambda:InvokeFunction"}
    finding = look()["permissions"]
    assert finding.verdict == "bad" and "2 of" in finding.found
    assert "iam:CreateRole, lambda:InvokeFunction" in finding.found and "--dry-run" in finding.remedy


def test_permissions_that_iam_cannot_simulate_are_a_note(aws: Any, aws_server: ModuleType) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user/anna"
    identity(aws, aws_server, arn)
    denied = f"User: {arn} is not authorized to perform: iam:SimulatePrincipalPolicy on resource: {arn}"
    aws.fail("iam", "SimulatePrincipalPolicy", aws_server.refusal("AccessDenied", denied, 403))
    finding = look()["permissions"]
    assert (finding.verdict, finding.found) == ("note", "unknown: IAM cannot simulate them (access denied)")
    assert "iam:SimulatePrincipalPolicy" in finding.remedy


def test_of_a_role_that_was_taken_on_the_roles_policies_are_simulated(
    aws: Any, aws_server: ModuleType, simulated: Any
) -> None:
    import boto3

    iam = boto3.client("iam", endpoint_url=aws.endpoint)
    role = iam.create_role(RoleName="worker", Path="/team/", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    identity(aws, aws_server, f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/session")
    assert look()["permissions"].verdict == "good" and simulated.sources == {role}


def test_the_root_user_is_warned(aws: Any, aws_server: ModuleType) -> None:
    identity(aws, aws_server, f"arn:aws:iam::{ACCOUNT}:root")
    assert look()["permissions"].verdict == "weak"


def test_a_small_quota_is_weak(aws_lambda: Any, simulated: Any) -> None:
    aws_lambda.quota = 10
    finding = look()["quota"]
    assert (finding.verdict, finding.found) == (
        "weak",
        "10 environments at once",
    ) and "Service Quotas" in finding.remedy


def test_a_region_without_prices_is_bad(aws: Any, simulated: Any) -> None:
    assert look(region="cn-north-1")["region"].verdict == "bad"
    assumed = look(region="eu-west-1")["region"]
    assert assumed.verdict == "note" and "the dearest known are taken" in assumed.remedy


def test_a_new_accounts_memory_limit_is_weak_with_the_remedy(
    aws: Any, aws_lambda: Any, aws_server: ModuleType, simulated: Any
) -> None:
    why = "'MemorySize' value failed to satisfy constraint: Member must have value less than or equal to 3008"
    aws.fail("lambda", "PUT .*/configuration", aws_server.json_refusal("InvalidParameterValueException", why))
    found = look()
    assert found["quota"].verdict == "good"
    assert (found["memory quota"].verdict, found["memory quota"].found) == ("weak", "functions of at most 3,008 MB")
    assert "Support Center" in found["memory quota"].remedy


def test_the_region_is_the_settings_as_for_every_other_command(
    aws: Any, simulated: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config/lbench").mkdir(parents=True)
    (tmp_path / "config/lbench/config.toml").write_text('region = "eu-west-1"\n')
    assert look()["region"].found == "eu-west-1 (config.toml)"
    monkeypatch.setenv("LBENCH_REGION", "eu-north-1")
    assert look()["region"].found == "eu-north-1 (LBENCH_REGION)"
    assert look(region="eu-central-1")["region"].found == "eu-central-1 (--region)"


def test_no_network_is_one_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    found = look()
    assert list(found) == ["credentials", "region", "identity"]
    assert found["identity"].verdict == "bad" and "is there a network" in found["identity"].found


@pytest.mark.parametrize(
    ("off_s", "verdict"), [(0, "good"), (-100, "weak"), (100, "weak"), (-900, "bad"), (900, "bad")]
)
def test_the_clock_is_compared_with_the_answers_date(off_s: int, verdict: str) -> None:
    now_s = time.time()
    date = format_datetime(datetime.fromtimestamp(now_s + off_s, UTC), usegmt=True)
    finding = doctor_aws._clock({"ResponseMetadata": {"HTTPHeaders": {"date": date}}, "_asked_s": (now_s, now_s)})
    assert finding.verdict == verdict


def test_credentials_that_end_soon_are_weak() -> None:
    soon = datetime.now(UTC) + timedelta(minutes=20)
    finding = doctor_aws._source(SimpleNamespace(method="sso", _expiry_time=soon))
    assert finding.verdict == "weak" and "until" in finding.found and "(0.3 h)" in finding.found
    later = SimpleNamespace(method="sso", _expiry_time=soon + timedelta(hours=5))
    assert doctor_aws._source(later).verdict == "good"


def test_the_whole_command_without_credentials_is_well(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(command, ["doctor"], standalone_mode=False)
    assert done.exception is None and not done.return_value
    assert "AWS was not asked" in done.output
