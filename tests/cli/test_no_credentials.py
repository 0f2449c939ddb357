"""Missing credentials are reported in one line with the remedy, and nothing that an SDK would log comes before it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Lbench = Callable[..., "subprocess.CompletedProcess[str]"]

SSO = (
    "[default]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\nregion = us-east-1\n"
    "[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://x.test/start\n"
)
MFA = (
    "[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = base\nregion = us-east-1\n"
    "mfa_serial = arn:aws:iam::123456789012:mfa/me\n"
    "[profile base]\naws_access_key_id = AK\naws_secret_access_key = SK\n"
)


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
def test_a_key_with_a_line_feed_is_refused_and_not_repeated(
    lbench: Lbench, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "hush\r")
    for command in ("status", "run function -p name=f"):
        done = lbench(*command.split())
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and "hush" not in done.stderr
        assert "contains a space, a line end" in done.stderr


def test_a_missing_profile_has_a_remedy(lbench: Lbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    for command in ("status", "run probe -b lambda"):
        done = lbench(*command.split())
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert "nobody" in done.stderr and "correct AWS_PROFILE" in done.stderr


@pytest.mark.parametrize(
    ("config", "expected"), [(SSO, "run `aws sso login`"), (MFA, "MFA device")], ids=["SSO", "MFA"]
)
@pytest.mark.parametrize("command", ["status", "run function -p name=f"])
def test_a_sign_on_that_has_ended_or_a_code_that_is_wanted_is_one_line(
    home: Path, lbench: Lbench, monkeypatch: pytest.MonkeyPatch, config: str, expected: str, command: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (home / "aws").write_text(config)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "aws"))
    monkeypatch.setenv("HOME", str(home))
    cache = home / ".aws/sso/cache"
    cache.mkdir(parents=True)
    token = {"startUrl": "https://x.test/start", "region": "us-east-1", "accessToken": "t"}
    name = hashlib.sha1(b"s").hexdigest()
    (cache / f"{name}.json").write_text(json.dumps(token | {"expiresAt": "2020-01-01T00:00:00Z"}))
    done = lbench(*command.split())
    assert done.returncode == 2
    assert done.stderr.startswith("lbench: ") and done.stderr.count("\n") == 1 and expected in done.stderr
