"""The thin client goes where botocore would go, by the same proxy and with the same certificates; nothing is sent."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from lbench.engine.backends.aws_client.endpoints import Resolved, resolve
from lbench.errors import InputError


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    path = tmp_path / "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    path.write_text("")
    return path


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize(
    ("service", "region", "endpoint"),
    [
        ("lambda", "eu-west-1", "https://lambda.eu-west-1.amazonaws.com"),
        ("lambda", "cn-north-1", "https://lambda.cn-north-1.amazonaws.com.cn"),
        ("s3", "eu-west-1", "https://s3.eu-west-1.amazonaws.com"),
        ("sts", "eu-west-1", "https://sts.eu-west-1.amazonaws.com"),
        ("lambda", None, "https://lambda.us-east-1.amazonaws.com"),
    ],
)
def test_a_service_is_where_aws_has_it(service: str, region: str | None, endpoint: str) -> None:
    found = resolve(service, region)
    assert (found.endpoint, found.region, found.proxy) == (endpoint, region or "us-east-1", None)
    assert found.ca_file is not None and Path(found.ca_file).exists()


def test_the_users_configuration_is_honoured(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text(
        "[profile own]\nregion = eu-west-2\nservices = mine\n"
        "[services mine]\nlambda =\n  endpoint_url = https://lambda.corp.test:8443/front\n"
        "[profile fips]\nregion = us-west-2\nuse_fips_endpoint = true\n"
    )
    own = resolve("lambda", profile="own")
    assert (own.endpoint, own.region) == ("https://lambda.corp.test:8443/front", "eu-west-2")
    assert resolve("s3", profile="own").endpoint == "https://s3.eu-west-2.amazonaws.com"
    monkeypatch.setenv("AWS_PROFILE", "fips")
    assert resolve("lambda").endpoint == "https://lambda-fips.us-west-2.amazonaws.com"
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:9")
    assert resolve("lambda").endpoint == "http://127.0.0.1:9"
    assert resolve("s3").endpoint == "https://s3-fips.us-west-2.amazonaws.com"


@pytest.mark.usefixtures("config")
def test_the_proxy_is_the_environments_except_where_it_says_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "me:hush@proxy.test:3128")
    found = resolve("lambda", "eu-west-1")
    assert found.proxy == "http://me:hush@proxy.test:3128"
    assert "hush" not in repr(found) and "hush" not in str(found)
    monkeypatch.setenv("NO_PROXY", "localhost,.amazonaws.com")
    assert resolve("lambda", "eu-west-1").proxy is None
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert resolve("lambda", "eu-west-1").proxy is None


def test_the_ca_bundle_is_the_users(config: Path, monkeypatch: pytest.MonkeyPatch, authority: SimpleNamespace) -> None:
    config.write_text(f"[default]\nca_bundle = {authority.ca_file}\n")
    assert resolve("lambda", "eu-west-1").ca_file == authority.ca_file
    monkeypatch.setenv("AWS_CA_BUNDLE", "/not/there.pem")
    with pytest.raises(InputError, match=r"/not/there\.pem does not exist: correct AWS_CA_BUNDLE"):
        resolve("lambda", "eu-west-1")


def test_an_invalid_configuration_is_one_line(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="nobody"):
        resolve("lambda", profile="nobody")
    with pytest.raises(InputError, match="region"):
        resolve("lambda", "not a region")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "no url")
    with pytest.raises(InputError, match="no url"):
        resolve("lambda", "eu-west-1")
    config.write_text("[profile\nbroken")
    with pytest.raises(InputError) as caught:
        resolve("lambda", "eu-west-1")
    assert "\n" not in str(caught.value)


def test_what_was_resolved_compares_and_shows_itself() -> None:
    assert Resolved("http://h", "r") == Resolved("http://h", "r")
    assert repr(Resolved("http://h", "r")) == "Resolved(endpoint='http://h', region='r', proxy=None, ca_file=None)"


def test_without_a_region_of_its_own_lambda_is_where_aws_s_own_tools_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from lbench.engine.backends.region import architecture_of, region_of
    from lbench.engine.backends.settings import AwsSettings, EmulatedSettings

    assert region_of(AwsSettings()) == "us-east-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert region_of(AwsSettings()) == "eu-west-1"
    assert region_of(AwsSettings(region="sa-east-1")) == "sa-east-1"
    assert region_of(EmulatedSettings()) == "us-east-1"  # which never asks
    assert architecture_of(AwsSettings()) == "x86_64"
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(InputError, match="nobody"):
        region_of(AwsSettings())
