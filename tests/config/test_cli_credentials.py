"""Credentials that only the AWS CLI can resolve (`aws login`) are asked of it, and renewed before they expire."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lbench.config.aws import AwsError, aws_session, find_credentials
from lbench.engine.backends.aws_client.credentials import ChainCredentials
from lbench.errors import InputError
from lbench.workloads.sigv4 import Credentials


class Cli:
    """A program `aws` in an own folder of PATH; it counts its calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "bin" / "aws"
        self.program.parent.mkdir()

    def installed(self, *, expires_in_s: float | None = 900, code: int = 0) -> None:
        keys: dict[str, object] = {"Version": 1, "SecretAccessKey": "SK", "SessionToken": "T"}
        if expires_in_s is not None:
            keys["Expiration"] = (datetime.now(UTC) + timedelta(seconds=expires_in_s)).isoformat()
        self.program.write_text(
            f"#!{sys.executable}\nimport json, sys\n"
            f"calls = open({str(self.folder / 'calls')!r}, 'a+')\ncalls.seek(0)\nn = len(calls.readlines()) + 1\n"
            "calls.write(' '.join(sys.argv[1:]) + '\\n')\n"
            f"if {code}:\n    sys.exit('Your session has expired: hush')\n"
            f"print(json.dumps({json.dumps(keys)} | {{'AccessKeyId': f'AK{{n}}'}}))\n"
        )
        self.program.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        log = self.folder / "calls"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A profile of `aws login`, which this SDK cannot resolve; nothing but `aws` is on PATH."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    (tmp_path / "config").write_text(
        "[default]\nlogin_session = arn:aws:iam::123456789012:user/anna\nregion = us-east-1\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    found = Cli(tmp_path)
    monkeypatch.setenv("PATH", str(found.program.parent))
    return found


async def test_both_ends_of_the_sdk_get_the_credentials_of_a_login(cli: Cli) -> None:
    cli.installed()
    keys = await find_credentials(aws_session())
    assert (keys.access_key, keys.secret_key, keys.token) == ("AK1", "SK", "T")
    async with ChainCredentials() as chain:
        assert chain() == Credentials("AK2", "SK", "T") and chain.method == "aws-cli"
    assert cli.calls == ["configure export-credentials --format process"] * 2


async def test_credentials_of_a_quarter_of_an_hour_are_not_asked_for_at_each_request(cli: Cli) -> None:
    cli.installed(expires_in_s=890)
    session = aws_session()
    for _ in range(3):
        assert (await find_credentials(session)).access_key == "AK1"


async def test_they_are_asked_for_again_before_they_expire(cli: Cli) -> None:
    cli.installed(expires_in_s=240)
    session = aws_session()
    first = await find_credentials(session)
    cli.installed(expires_in_s=900)
    second = await find_credentials(session)
    assert first.access_key != second.access_key
    assert (await find_credentials(session)).access_key == second.access_key


async def test_a_named_profile_is_asked_for_by_its_name(cli: Cli) -> None:
    cli.installed(expires_in_s=None)
    (cli.folder / "config").write_text("[profile other]\nlogin_session = x\n")
    async with ChainCredentials("other") as chain:
        assert chain().access_key == "AK1"
    assert cli.calls == ["configure export-credentials --format process --profile other"]


async def test_a_login_that_has_ended_is_one_line_with_the_remedy(cli: Cli) -> None:
    cli.installed(code=1)
    for ask in (find_credentials(aws_session()), ChainCredentials().__aenter__()):
        with pytest.raises(InputError, match="run `aws login` again") as caught:
            await ask
        assert "hush" not in str(caught.value)


async def test_without_the_cli_the_message_names_it(cli: Cli) -> None:
    for ask in (find_credentials(aws_session()), ChainCredentials().__aenter__()):
        with pytest.raises(AwsError, match="was made by `aws login`, which needs the AWS CLI: install it"):
            await ask


async def test_a_cli_without_credentials_changes_nothing_in_the_message(cli: Cli) -> None:
    cli.installed(code=1)
    (cli.folder / "config").write_text("[default]\nregion = us-east-1\n")
    with pytest.raises(AwsError, match="no AWS credentials: set AWS_PROFILE"):
        await find_credentials(aws_session())


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-1"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-2"),
        ({"AWS_REGION": "eu-west-1"}, "eu-west-1"),
        ({}, "us-east-1"),
    ],
)
def test_the_region_is_that_of_the_aws_cli(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    from lbench.engine.backends.aws_client.endpoints import chain_region, resolve

    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert aws_session().region_name == chain_region() == expected
    assert resolve("lambda").region == expected
    assert aws_session("sa-east-1").region_name == "sa-east-1"
