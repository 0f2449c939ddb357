"""Each thing that can go wrong with AWS is one line with its remedy, and no line holds a secret.

The refusals are AWS's answers as they come over the wire, served on this machine and read by botocore itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from botocore import exceptions

from lbench.config import aws
from lbench.config.aws import aws_client, aws_session
from lbench.config.aws_errors import AwsError, Prompted, aws_error, resource_failure_text, without_secrets
from lbench.errors import InputError

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ARN = "arn:aws:iam::123456789012:user/anna"


class Recorded(NamedTuple):
    """A refusal on the wire."""

    service: str
    operation: str
    status: int
    body: str
    headers: tuple[tuple[str, str], ...] = ()
    arguments: tuple[tuple[str, str], ...] = ()


def query(code: str, message: str, status: int = 400, *, service: str = "cloudformation") -> Recorded:
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    body = f"<ErrorResponse>{error}</ErrorResponse>"
    operation = {"cloudformation": "describe_stacks", "sts": "get_caller_identity", "iam": "list_roles"}[service]
    return Recorded(service, operation, status, body, (("Content-Type", "text/xml"),))


def rest(code: str, message: str, status: int) -> Recorded:
    body = json.dumps({"message": message})
    return Recorded("lambda", "get_account_settings", status, body, (("x-amzn-ErrorType", code),))


def s3(code: str, message: str, status: int) -> Recorded:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Recorded("s3", "get_bucket_location", status, body, arguments=(("Bucket", "lbench-x"),))


DENIED = (
    f"User: {ARN} is not authorized to perform: %s on resource: arn:aws:x because no identity-based policy allows it"
)

REFUSALS = {
    "expired token": (
        rest("ExpiredTokenException", "The security token included in the request is expired", 403),
        "have expired: run `aws sso login`",
    ),
    "expired, S3": (s3("ExpiredToken", "The provided token has expired.", 400), "have expired"),
    "unknown key": (
        query("InvalidClientTokenId", "The security token included in the request is invalid.", 403, service="sts"),
        "does not know these credentials in us-east-1",
    ),
    "unknown key, JSON": (
        rest("UnrecognizedClientException", "The security token included in the request is invalid.", 403),
        "aws sts get-caller-identity",
    ),
    "signature": (
        rest(
            "InvalidSignatureException",
            f"The Canonical String for this request should have been 'POST / x-amz-security-token:{SECRET}'",
            403,
        ),
        "run `aws configure`",
    ),
    "signature, S3": (
        s3("SignatureDoesNotMatch", f"canonical {SECRET}", 403),
        "does the secret key belong to the access key",
    ),
    "clock": (
        rest(
            "InvalidSignatureException",
            "Signature expired: 20261122T100000Z is now earlier than 20261122T110000Z (20261122T110500Z - 5 min.)",
            403,
        ),
        "clock is too far off",
    ),
    "clock, S3": (
        s3("RequestTimeTooSkewed", "The difference between the request time and the current time is too large.", 403),
        "clock is too far off",
    ),
    "denied": (
        query("AccessDenied", DENIED % "cloudformation:DescribeStacks", 403),
        f"{ARN} may not do cloudformation:DescribeStacks: have the policy attached that `lbench deploy --dry-run` prints",
    ),
    "denied, Lambda": (
        rest("AccessDeniedException", DENIED % "lambda:GetAccountSettings", 403),
        "lambda:GetAccountSettings",
    ),
    "denied, S3 says nothing": (
        s3("AccessDenied", "Access Denied", 403),
        "these credentials may not do GetBucketLocation",
    ),
    "denied by the organization": (
        query(
            "AccessDenied",
            f"User: {ARN} is not authorized to perform: iam:ListRoles with an explicit deny in a service control policy",
            403,
            service="iam",
        ),
        "ask its administrator",
    ),
    "role not to be assumed": (
        query("AccessDenied", DENIED % "sts:AssumeRole", 403, service="sts"),
        "correct role_arn in the profile",
    ),
    "KMS denied": (
        s3(
            "AccessDenied",
            DENIED % "kms:GenerateDataKey",
            403,
        ),
        "let the caller and the function's role use it in the key's policy",
    ),
    "KMS denied, Lambda": (
        rest(
            "KMSAccessDeniedException",
            "Lambda was unable to decrypt the environment variables because KMS access was denied.",
            502,
        ),
        "the KMS key was refused",
    ),
    "KMS disabled": (
        s3("KMS.DisabledException", "arn:aws:kms:us-east-1:123456789012:key/1 is disabled.", 400),
        "enable it",
    ),
    "throttled": (query("Throttling", "Rate exceeded"), "wait a minute and run it again"),
    "throttled, Lambda": (
        rest("TooManyRequestsException", "Rate exceeded", 429),
        "AWS throttles these requests",
    ),
    "slow down": (s3("SlowDown", "Please reduce your request rate.", 503), "wait a minute"),
    "bucket name taken": (
        s3("BucketAlreadyExists", "The requested bucket name is not available.", 409),
        "deploy under another name with --stack",
    ),
    "own bucket": (
        s3("BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded.", 409),
        "run `lbench destroy`",
    ),
    "bucket gone": (s3("NoSuchBucket", "The specified bucket does not exist", 404), "run `lbench deploy` again"),
    "bucket elsewhere": (
        s3("IllegalLocationConstraintException", "The eu-west-1 location constraint is incompatible", 400),
        "set --region to the region of the deployment",
    ),
    "no stack": (
        query("ValidationError", "Stack with id lbench does not exist"),
        "the stack does not exist in us-east-1 (Stack with id lbench does not exist): run `lbench deploy`",
    ),
    "stack busy": (
        query("ValidationError", "Stack:arn:aws:x is in UPDATE_IN_PROGRESS state and can not be updated."),
        "wait until it has ended",
    ),
    "function busy": (
        rest(
            "ResourceConflictException",
            "The operation cannot be performed at this time. An update is in progress for resource",
            409,
        ),
        "another change is under way",
    ),
    "no function": (
        rest("ResourceNotFoundException", "Function not found: arn:aws:lambda:us-east-1:123456789012:function:x", 404),
        "is it deployed in us-east-1?",
    ),
    "quota": (query("LimitExceededException", "Stack limit exceeded"), "ask for more under Service Quotas"),
    "quota, Lambda": (
        rest("CodeStorageExceededException", "Code storage limit exceeded.", 400),
        "a quota of the account is reached",
    ),
    "quota, IAM": (
        query("LimitExceeded", "Cannot exceed quota for RolesPerAccount: 1000", 409, service="iam"),
        "RolesPerAccount",
    ),
    "not signed up": (
        query("OptInRequired", "The AWS Access Key Id needs a subscription for the service", 403),
        "finish its sign-up",
    ),
    "region disabled": (
        query("RegionDisabledException", "STS is not activated in this region", 403, service="sts"),
        "choose another with --region",
    ),
    "their fault": (
        rest("ServiceException", "An error occurred and the request cannot be processed.", 500),
        "failed on its side",
    ),
    "anything else": (
        rest("InvalidParameterValueException", "No such thing", 400),
        "InvalidParameterValueException: No such thing",
    ),
}


@pytest.fixture(scope="module")
def wire() -> Iterator[Callable[[Recorded], str]]:
    """`wire(refusal)`: an endpoint that answers everything with it."""
    received: list[Recorded] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            refusal = received[-1]
            self.send_response(refusal.status)
            for name, value in refusal.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(refusal.body.encode())))
            self.end_headers()
            self.wfile.write(refusal.body.encode())

        do_GET = do_POST = _answer

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()

    def endpoint(refusal: Recorded) -> str:
        received.append(refusal)
        return f"http://127.0.0.1:{server.server_port}"

    yield endpoint
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _known_keys(small_bundle: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setattr(aws, "_ATTEMPTS", 1)


async def ask(refusal: Recorded, region: str | None = None) -> str:
    with pytest.raises(AwsError) as caught:
        async with aws_client(aws_session(region), refusal.service) as client:
            await getattr(client, refusal.operation)(**dict(refusal.arguments))
    assert isinstance(caught.value, InputError)  # exit code 2
    assert caught.value.__suppress_context__
    return str(caught.value)


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refusal_is_one_line_with_its_remedy(
    name: str, wire: Callable[[Recorded], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal, expected = REFUSALS[name]
    monkeypatch.setenv("AWS_ENDPOINT_URL", wire(refusal))
    line = await ask(refusal)
    assert line.startswith(f"asking {refusal.service}: ") and expected in line
    assert "\n" not in line and len(line) < 500
    assert SECRET not in line and "AKIA" not in line


async def test_in_a_region_that_has_to_be_enabled_first_that_is_the_first_thing_to_say(
    wire: Callable[[Recorded], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal, _ = REFUSALS["unknown key, JSON"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", wire(refusal))
    assert "enable af-south-1 in the console, or choose another with --region" in await ask(refusal, "af-south-1")


async def test_a_missing_network_names_only_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1/some/path?token=hush")
    line = await ask(query("", ""))
    assert (
        line
        == "asking cloudformation: 127.0.0.1 cannot be reached: is there a network, or a proxy to name with HTTPS_PROXY?"
    )


@pytest.mark.parametrize("region", ["mars-north-1", "eu-wst-1"])
async def test_a_region_that_is_not_there_is_asked_about(region: str) -> None:
    error = exceptions.EndpointConnectionError(endpoint_url=f"https://lambda.{region}.amazonaws.com/")
    assert f"Is {region} one of AWS's regions?" in str(aws_error(error, "asking lambda", region=region))


async def test_an_invalid_region_name_is_reported() -> None:
    with pytest.raises(AwsError, match=r"AWS has no region 'us east'.*--region"):
        async with aws_client(aws_session("us east"), "lambda"):
            pass


async def test_an_endpoint_that_is_not_a_url_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    with pytest.raises(AwsError, match="endpoint cannot be used"):
        async with aws_client(aws_session(), "lambda"):
            pass


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (exceptions.ProxyConnectionError(proxy_url=f"http://me:{SECRET}@proxy:1"), "see HTTPS_PROXY and NO_PROXY"),
        (
            exceptions.SSLError(endpoint_url="https://lambda.us-east-1.amazonaws.com/x", error="self-signed"),
            "AWS_CA_BUNDLE",
        ),
        (exceptions.ConnectTimeoutError(endpoint_url="https://a.test/x"), "a.test cannot be reached"),
        (exceptions.ReadTimeoutError(endpoint_url="https://a.test/x"), "no reply from a.test"),
        (exceptions.ConnectionClosedError(endpoint_url="https://a.test/x"), "run it again"),
    ],
    ids=["proxy", "certificate", "no connection", "no answer", "closed"],
)
def test_a_failure_on_the_way_to_aws_names_its_remedy(error: Exception, expected: str) -> None:
    line = str(aws_error(error, "asking lambda"))
    assert expected in line and SECRET not in line and "/x" not in line


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No credentials; the configuration file that is read."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path / "config"


async def opened() -> str:
    with pytest.raises(AwsError) as caught:
        async with aws_client(aws_session(), "sts") as client:
            await client.get_caller_identity()
    return str(caught.value)


async def test_no_credentials_are_reported_with_what_to_do(bare: Path) -> None:
    assert (await opened()).startswith("no AWS credentials: set AWS_PROFILE, or run `aws configure`")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            "[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = base\nregion = us-east-1\n"
            "mfa_serial = arn:aws:iam::123456789012:mfa/me\n"
            f"[profile base]\naws_access_key_id = AK\naws_secret_access_key = {SECRET}\n",
            "MFA device",
        ),
        (
            "[default]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n"
            "[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://x.test/start\n",
            "run `aws sso login`",
        ),
        ("[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = nobody\n", "nobody"),
        ("[default]\naws_access_key_id = AK\n", "aws_secret_access_key"),
        (f"[default]\ncredential_process = {sys.executable} -c \"print('{SECRET}')\"\n", "JSONDecodeError"),
        (f"[default]\ncredential_process = {sys.executable} -c \"raise SystemExit('{SECRET}')\"\n", "run it by hand"),
        (f"[default]\ncredential_process = {sys.executable} -c \"open('/dev/tty')\"\n", "run it by hand"),
        ("[default]\ncredential_process = /no/such/program\n", "FileNotFoundError"),
    ],
    ids=["MFA", "SSO", "no source", "half", "no JSON", "fails", "asks", "no program"],
)
def test_a_credential_source_that_would_prompt_or_is_broken_gives_one_line(
    bare: Path, config: str, expected: str
) -> None:
    bare.write_text(config)
    line = asyncio.run(opened())
    assert expected in line and SECRET not in line and "\n" not in line


def test_a_source_that_never_answers_is_not_waited_for(bare: Path) -> None:
    bare.write_text(f'[default]\ncredential_process = {sys.executable} -c "import time; time.sleep(60)"\n')
    with pytest.raises(AwsError, match="does it wait for input"):
        asyncio.run(aws.find_credentials(aws_session(), patience_s=0.2))


def test_a_profile_that_is_not_there_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(AwsError, match=r"nobody.*correct AWS_PROFILE"):
        aws_session()


def test_a_profile_that_would_prompt_is_reported_as_such() -> None:
    assert "which lbench cannot ask for" in str(aws_error(Prompted(), "asking sts"))


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (
            f'Resource handler returned message: "User: {ARN} is not authorized to perform: iam:CreateRole on resource: x '
            'because no identity-based policy allows the iam:CreateRole action (Service: Iam, Status Code: 403)"',
            f"{ARN} may not do iam:CreateRole: have the policy attached",
        ),
        ("lbench-1769 already exists in stack arn:aws:x", "deploy under another name with --stack"),
        ("The maximum number of addresses has been reached.", "under Service Quotas"),
        ("Something new", "Something new"),
    ],
)
def test_a_reason_of_cloudformation_names_its_remedy(reason: str, expected: str) -> None:
    assert expected in resource_failure_text(reason)


@pytest.mark.parametrize(
    "text",
    [
        f"key {SECRET} given",
        "id AKIAIOSFODNN7EXAMPLE",
        "id ASIAIOSFODNN7EXAMPLE",
        "https://user:hush@proxy.test/",
        "https://b.s3.test/k?X-Amz-Credential=hush%2F1&X-Amz-Signature=hush&X-Amz-Security-Token=hush",
        f"Encoded authorization failure message: {'hush' * 50}",
    ],
)
def test_whatever_looks_like_a_secret_is_taken_out(text: str) -> None:
    found = without_secrets(text)
    assert "hush" not in found and SECRET not in found and "IOSFODNN" not in found


def test_ids_and_digests_are_left_in() -> None:
    text = "request 6f3c1a52-7d0e-4a55-9d3f-1a2b3c4d5e6f of arn:aws:lambda:us-east-1:123456789012:function:my-function"
    digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    assert without_secrets(f"{text}\n {digest}") == f"{text} {digest}"


class Refusing:
    """A proxy that answers each CONNECT so, or closes the connection without a word."""

    def __init__(self, status: str | None) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        head = b"" if status is None else f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode()
        threading.Thread(target=self._serve, args=(head,), daemon=True).start()

    def _serve(self, head: bytes) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(head)

    def close(self) -> None:
        self._server.close()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("403 Forbidden", "the proxy refused (403): have it allow AWS's hosts, or name another with HTTPS_PROXY"),
        ("407 Proxy Authentication Required", "the proxy requires a user and password: set HTTPS_PROXY=http://user"),
        (None, "no reply from sts.us-east-1.amazonaws.com through the proxy: does it allow this host?"),
    ],
)
def test_a_proxy_that_refuses_has_its_own_line(
    status: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Refusing(status)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(aws, "_ATTEMPTS", 1)

    async def ask() -> None:
        async with aws_client(aws_session("us-east-1"), "sts") as client:
            await client.get_caller_identity()

    with pytest.raises(AwsError) as caught:
        asyncio.run(ask())
    proxy.close()
    assert expected in str(caught.value) and "stable" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"), [(None, "does not exist"), ("no certificate", "holds no certificate")]
)
def test_a_bad_ca_bundle_has_its_own_line(
    content: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lbench.engine.backends.aws_client.endpoints import resolve

    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)

    async def ask() -> None:
        async with aws_client(aws_session("us-east-1"), "sts"):
            raise AssertionError("a client was made")

    for look in (lambda: asyncio.run(ask()), lambda: resolve("lambda", "us-east-1")):
        with pytest.raises(InputError, match=f"the CA bundle .*bundle.pem {expected}: correct AWS_CA_BUNDLE"):
            look()


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("certificate verify failed: certificate is not yet valid", "not valid at this machine's time (20"),
        ("certificate verify failed: certificate has expired", "set the clock (`timedatectl set-ntp true`)"),
        ("certificate verify failed: self-signed certificate", "is not trusted: set AWS_CA_BUNDLE"),
    ],
)
def test_a_certificate_that_is_refused_names_the_clock_or_the_bundle(reason: str, expected: str) -> None:
    raised = exceptions.SSLError(endpoint_url="https://lambda.us-east-1.amazonaws.com/", error=ValueError(reason))
    text = str(aws_error(raised, "asking lambda"))
    assert expected in text and "lambda.us-east-1.amazonaws.com" in text and ("clock" in text) == ("AWS_CA" not in text)
