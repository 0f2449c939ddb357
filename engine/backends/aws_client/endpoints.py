"""Resolves how an AWS service is reached, by botocore's own rules: endpoint, proxy, certificates.

All ways to configure it stay botocore's: profiles, `AWS_ENDPOINT_URL[_LAMBDA]` and the config file's services section,
FIPS and dual-stack, `HTTPS_PROXY` and `NO_PROXY`, `AWS_CA_BUNDLE` and `ca_bundle`. A botocore client builds a real, unsigned
request here and is stopped just before it sends it: the thin client then uses its URL. No network.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

import msgspec

from lbench.config import aws
from lbench.config.aws_errors import aws_error, masked, without_secrets
from lbench.errors import InputError

__all__ = ["Resolved", "chain_region", "named_s3_endpoint", "resolve", "resolve_url"]

# Each service's operation without parameters, and its path, which is removed from the URL.
_OPERATIONS = {
    "lambda": ("list_functions", "/2015-03-31/functions"),
    "s3": ("list_buckets", ""),
    "sts": ("get_caller_identity", ""),
    "cloudformation": ("list_stacks", ""),
}


class Resolved(msgspec.Struct, frozen=True):
    """How one service is reached. Its representation hides passwords."""

    endpoint: str  # scheme://host[:port][/path]
    region: str
    proxy: str | None = None  # a URL, maybe with user and password
    ca_file: str | None = None  # a file or folder of certificate authorities; None: the system's

    def __repr__(self) -> str:
        proxy = self.proxy and urlsplit(self.proxy).hostname
        endpoint = masked(self.endpoint)
        return f"Resolved({endpoint=}, region={self.region!r}, {proxy=}, ca_file={self.ca_file!r})"


class _Stop(Exception):
    """Stops a request before it is sent."""


def chain_region() -> str:
    """The region that AWS's own tools would use here, else us-east-1. Reads files; no network.

    Raises:
        InputError: the configuration cannot be used.
    """
    import botocore.session
    from botocore.exceptions import BotoCoreError

    try:
        return aws.chain_region(botocore.session.Session())
    except BotoCoreError as error:
        raise _unusable(error) from None


def resolve(service: str, region: str | None = None, *, profile: str | None = None) -> Resolved:
    """Resolve a service by botocore. The first call costs 0.3 to 0.6 s of CPU: make it in a thread, before the clock starts.

    Args:
        service: "lambda", "s3", "sts" or "cloudformation".
        region: None: the chain's, else us-east-1.
        profile: None: the chain's (`AWS_PROFILE`, else the default one).

    Raises:
        InputError: the configuration cannot be used; the message says what is wrong with it.
    """
    import botocore.session
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError
    from botocore.httpsession import get_cert_path

    operation, path = _OPERATIONS[service]
    try:
        session = botocore.session.Session(profile=profile)
        region = region or aws.chain_region(session)
        # `auto` would ask the machine's metadata service where it is
        config = Config(signature_version=UNSIGNED, defaults_mode="standard", retries={"total_max_attempts": 1})
        client = session.create_client(service, region_name=region, config=config)
        region = str(client.meta.region_name)  # "fips-us-west-2" is an old name of us-west-2 with FIPS
        url = _url_of(client, service, operation)
        bundle = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE") or True
    except (BotoCoreError, ValueError) as error:  # ValueError: an invalid endpoint URL
        raise _unusable(error) from None
    endpoint = url.partition("?")[0].rstrip("/").removesuffix(path).rstrip("/")
    proxy = _proxy_of(endpoint)
    ca_file = get_cert_path(bundle)
    if endpoint.startswith("https:"):
        aws.check_ca_bundle(session)
    return Resolved(endpoint, region, proxy, ca_file)


def resolve_url(url: str, like: Resolved) -> Resolved:
    """Resolve a service of known URL (an HTTP API): region and certificates as in `like`, and the proxy for this URL."""
    return Resolved(url.rstrip("/"), like.region, _proxy_of(url), like.ca_file)


def named_s3_endpoint(place: Resolved) -> str | None:
    """The S3 endpoint that the configuration names; None: it is the region's default one."""
    host = urlsplit(place.endpoint).hostname or ""
    return None if host in ("s3.amazonaws.com", f"s3.{place.region}.amazonaws.com") else place.endpoint


def _proxy_of(endpoint: str) -> str | None:
    from botocore.utils import get_environ_proxies

    proxy = get_environ_proxies(endpoint).get(urlsplit(endpoint).scheme)
    if proxy and "://" not in proxy:
        proxy = "http://" + proxy.removeprefix("//")
    return proxy or None


def _url_of(client: Any, service: str, operation: str) -> str:
    sent: list[str] = []

    def before_send(request: Any, **_: Any) -> None:
        sent.append(request.url)
        raise _Stop

    client.meta.events.register(f"before-send.{service}", before_send)
    try:
        getattr(client, operation)()
    except _Stop:
        pass
    finally:
        client.close()
    return sent[0]


def _unusable(error: Exception) -> InputError:
    from botocore.exceptions import ProfileNotFound

    if isinstance(error, ProfileNotFound):
        return aws_error(error, "reading the AWS configuration")  # with the remedy
    return InputError(f"invalid AWS configuration: {without_secrets(str(error))}")
