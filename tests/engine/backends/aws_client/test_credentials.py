"""Credentials from botocore's chain: found, renewed in mid-run, and never asked of a person."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lbench.engine.backends.aws_client import credentials as module
from lbench.engine.backends.aws_client.credentials import ChainCredentials
from lbench.errors import BackendError, InputError
from lbench.workloads.sigv4 import Credentials

SECRET = "hush-hush-secret"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


@pytest.fixture
def process(tmp_path: Path) -> Callable[[str], None]:
    """Makes the default profile's `credential_process` this Python code; `n` counts how often it has run."""

    def write(code: str) -> None:
        script = tmp_path / "source.py"
        counting = f"from pathlib import Path\nimport json, sys\nlog = Path({str(tmp_path / 'runs')!r})\n"
        counting += "n = len(log.read_text()) + 1 if log.exists() else 1\nlog.write_text('x' * n)\n"
        script.write_text(counting + textwrap.dedent(code))
        (tmp_path / "config").write_text(f"[default]\ncredential_process = {sys.executable} {script}\n")

    return write


def printed(seconds: float | None) -> str:
    keys: dict[str, object] = {"Version": 1, "SecretAccessKey": SECRET, "SessionToken": "token"}
    if seconds is not None:
        keys["Expiration"] = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    return f"keys = json.loads({json.dumps(json.dumps(keys))})\nkeys['AccessKeyId'] = f'AK{{n}}'\nprint(json.dumps(keys))\n"


async def test_the_environments_are_found_and_stay_the_same_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AK")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    async with ChainCredentials() as found:
        assert found() == Credentials("AK", SECRET, None) and found() is found()
        assert found.method == "env"
    with pytest.raises(BackendError, match="not open"):
        found()


async def test_a_named_profile_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    shared.write_text(f"[other]\naws_access_key_id = AK2\naws_secret_access_key = {SECRET}\naws_session_token = t\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    async with ChainCredentials("other") as found:
        assert found() == Credentials("AK2", SECRET, "t")


async def test_a_process_gives_them(process: Callable[[str], None]) -> None:
    process(printed(None))
    async with ChainCredentials() as found:
        assert found() == Credentials("AK1", SECRET, "token")
        assert found.method == "custom-process"


async def test_those_that_expire_are_renewed_in_mid_run_while_the_loop_goes_on(
    process: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REFRESH_OFTEN_S", 0.01)
    process(printed(60))  # botocore renews what lasts for less than ten minutes whenever it is asked
    async with ChainCredentials() as found:
        first, turns = found(), 0
        while found() is first:
            turns += 1
            await asyncio.sleep(0)
        assert found().access_key != first.access_key and turns > 10
        assert found.renewals >= 1


async def test_old_ones_serve_on_where_new_ones_cannot_be_had(
    process: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REFRESH_OFTEN_S", 0.0)
    asked = asyncio.Event()
    real = module._off_loop

    async def watched(*arguments: object) -> object:
        try:
            return await real(*arguments)  # type: ignore[arg-type]
        except InputError:
            asked.set()
            raise

    monkeypatch.setattr(module, "_off_loop", watched)
    process("if n > 2: sys.exit('no more')\n" + printed(60))
    async with ChainCredentials() as found:
        first = found()
        await asyncio.wait_for(asked.wait(), 10)
        assert found() is first


async def test_a_refusal_asks_the_chain_again_once_however_many_calls_it_hit(process: Callable[[str], None]) -> None:
    process(printed(None))
    async with ChainCredentials() as found:
        stale = found()
        renewed = await asyncio.gather(*(found.renew(stale) for _ in range(50)))
        assert {keys.access_key for keys in renewed} == {"AK2"}
        assert await found.renew(stale) is renewed[0]


async def test_none_at_all_is_one_line_with_the_remedy() -> None:
    with pytest.raises(InputError, match="no AWS credentials: set AWS_PROFILE"):
        async with ChainCredentials():
            pass


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
        (
            "[default]\nsso_start_url = https://x.test/start\nsso_region = us-east-1\n"
            "sso_account_id = 123456789012\nsso_role_name = r\n",
            "run `aws sso login`",
        ),
        ("[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = nobody\n", "nobody"),
        ("[default]\naws_access_key_id = AK\n", "aws_secret_access_key"),
    ],
    ids=["MFA", "SSO session", "SSO", "no source", "half"],
)
async def test_a_source_that_would_prompt_or_is_broken_is_one_line(tmp_path: Path, config: str, expected: str) -> None:
    (tmp_path / "config").write_text(config)
    with pytest.raises(InputError, match=expected) as caught:
        async with ChainCredentials():
            pass
    assert SECRET not in str(caught.value) and "\n" not in str(caught.value)


async def test_a_missing_profile_is_named_in_the_error() -> None:
    with pytest.raises(InputError, match=r"nobody.*correct AWS_PROFILE"):
        async with ChainCredentials("nobody"):
            pass


@pytest.mark.parametrize(
    "code",
    [
        f"sys.exit('cannot: {SECRET}')",
        f'print(\'{{"SecretAccessKey": "{SECRET}"\')',
        f"print(json.dumps({{'Version': 1, 'SecretAccessKey': '{SECRET}'}}))",
        "sys.stdin.read(1) or sys.exit('no terminal')",
        "open('/dev/tty')",
    ],
    ids=["fails", "no JSON", "lacks a key", "asks", "asks the terminal"],
)
async def test_a_failed_credential_process_is_reported_without_its_output(
    process: Callable[[str], None], code: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    process(code)
    with pytest.raises(InputError) as caught:
        async with ChainCredentials():
            pass
    assert SECRET not in repr(caught.value) and SECRET not in caplog.text


async def test_a_process_that_never_answers_is_not_waited_for(process: Callable[[str], None], tmp_path: Path) -> None:
    process(f"import time\nwhile not Path({str(tmp_path / 'enough')!r}).exists(): time.sleep(0.01)\n" + printed(None))
    with pytest.raises(InputError, match="does it wait for input"):
        async with ChainCredentials(patience_s=0.05):
            pass
    (tmp_path / "enough").touch()


async def test_no_secret_reaches_a_log_or_a_representation(
    process: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    process(printed(60))
    async with ChainCredentials() as found:
        shown = f"{found!r} {found()!r} {vars(found)}"
    assert SECRET not in shown and SECRET not in caplog.text
