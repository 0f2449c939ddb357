"""Messages for AWS's errors: one line that says what happened, and what to do.

Three families: refusals (a service answered with an error code), failures on the way (no network, no answer), and
credentials that cannot be had. AWS's or botocore's own texts are repeated only where they cannot hold a secret: the refusal
of a signature repeats the request's headers, the security token among them, and a `credential_process` may print anything.
"""

from __future__ import annotations

import datetime
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from lbench.config.account_memory import memory_limit_in, memory_limit_text
from lbench.config.limits import limits
from lbench.errors import InputError

__all__ = [
    "CLOCK_TEXT",
    "NO_CREDENTIALS",
    "AwsError",
    "CliFailed",
    "Prompted",
    "aws_error",
    "certificate_text",
    "has_proxy",
    "masked",
    "masked_urls",
    "refusal_text",
    "resource_failure_text",
    "without_secrets",
]

NO_CREDENTIALS = (
    "no AWS credentials: set AWS_PROFILE, or run `aws configure`, `aws login` or `aws sso login`, "
    "or use the backend emulated, which needs none"
)
DEPLOY_POLICY = "have the policy attached that `lbench deploy --dry-run` prints"
SET_CLOCK = "set the clock (`timedatectl set-ntp true`)"
CLOCK_TEXT = f"this machine's clock is too far off for AWS: {SET_CLOCK}, see `lbench doctor`"
_LONGEST = 300  # characters of AWS's own text that are worth repeating

# Signatures and passwords in URLs; a path loses one of the slashes.
_IN_URLS = re.compile(
    r"(?<=X-Amz-Signature=)[^&\s\"]+|(?<=X-Amz-Credential=)[^&\s\"]+|(?<=X-Amz-Security-Token=)[^&\s\"]+"
    r"|(?<=://)[^/@\s]+(?=@)|(?<=:/)[^/@\s:]+:[^/@\s]+(?=@)"
)
# Access keys' IDs (IAM documentation, "Unique identifiers"), secret keys (40 characters of base64), tokens and the text
# that `sts decode-authorization-message` reads (much longer ones), and what URLs hold.
# Access keys' IDs (IAM documentation, "Unique identifiers"), secret keys (40 characters of base64), tokens and the text
# that `sts decode-authorization-message` reads (much longer ones), what URLs hold.
_SECRETS = re.compile(
    r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}\b"
    r"|(?<![\w/+=-])(?=[A-Za-z/+]*[0-9])(?=[a-z0-9/+]*[A-Z])(?=[A-Z0-9/+]*[a-z])[A-Za-z0-9/+]{40}(?![\w/+=-])"
    r"|[\w/+=-]{100,}"
    rf"|{_IN_URLS.pattern}"
)
_ACTION = re.compile(
    r"(?:not authorized to perform:?|required permission:?|no permission to) ([a-z0-9-]+:[A-Za-z]+\*?)"
)
_WHO = re.compile(r"User: (arn:aws[\w-]*:[^\s]+)")
_CLOCK = re.compile(
    r"Signature (?:expired|not yet current)|is now earlier than|must be within|too (?:large|skewed)", re.I
)

_EXPIRED = {"ExpiredToken", "RequestExpired", "TokenRefreshRequired"}
_UNKNOWN = {"UnrecognizedClient", "InvalidClientTokenId", "InvalidAccessKeyId", "AuthFailure", "InvalidToken"}
_SIGNATURE = {"SignatureDoesNotMatch", "InvalidSignature", "IncompleteSignature", "MissingAuthenticationToken"}
_SKEWED = {"RequestTimeTooSkewed", "RequestInTheFuture"}
_DENIED = {"AccessDenied", "UnauthorizedOperation", "AuthorizationError", "NotAuthorized", "Forbidden", "403"}
_THROTTLED = {
    "BandwidthLimitExceeded",
    "EC2Throttled",
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "Throttled",
    "Throttling",
    "TooManyRequests",
}
_QUOTA = {
    "CodeStorageExceeded",
    "ConcurrentResourcesLimitExceeded",
    "LimitExceeded",
    "QuotaExceeded",
    "ResourceLimitExceeded",
    "ServiceQuotaExceeded",
    "TooManyBuckets",
}
_KEY = {"Disabled", "KMSAccessDenied", "KMSDisabled", "KMSInvalidState", "KMSNotFound", "KeyUnavailable"}
_ELSEWHERE = {"301", "AuthorizationHeaderMalformed", "IllegalLocationConstraint", "InvalidLocationConstraint"}
_NOT_SIGNED_UP = {"OptInRequired", "PendingVerification", "RegionDisabled", "SubscriptionRequired"}
_THEIRS = {"InternalError", "InternalFailure", "Service", "ServiceUnavailable", "ServiceFailure"}
_BUSY = {"OperationInProgress", "ResourceConflict", "ResourceInUse", "OperationAborted", "ConcurrentModification"}


class AwsError(InputError):
    """AWS refused something, or could not be reached; the message ends with the remedy."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code  # AWS's own, as in "AccessDenied"


class CliFailed(Exception):
    """The AWS CLI has a login for this profile, and did not give its credentials: most likely it has ended."""


class Prompted(Exception):
    """A source of credentials asked for a person."""


class _Refusal(NamedTuple):
    code: str  # AWS's own
    text: str
    operation: str  # as in "CreateStack"
    status: int
    region: str | None
    policy: str  # what allows the operation


def aws_error(error: BaseException, doing: str, *, region: str | None = None, policy: str | None = None) -> AwsError:
    """One line that says what happened and what to do; never a text that may hold a secret.

    Args:
        error: botocore's, `Prompted`, or whatever a source of credentials has raised.
        doing: what was asked, as in "asking lambda"; the line begins with it unless it is about the credentials.
        region: where, if that is known.
        policy: what to do for the permission, as in "have a policy attached that allows ..."; None: that of a deployment.
    """
    from botocore import exceptions

    if isinstance(error, exceptions.ClientError):
        reply = error.response.get("Error", {})
        refusal = _Refusal(
            str(reply.get("Code") or "unknown"),
            without_secrets(str(reply.get("Message") or "")),
            error.operation_name,
            int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0),
            region,
            policy or DEPLOY_POLICY,
        )
        return AwsError(f"{doing}: {_refused(refusal)}", refusal.code)
    on_the_way = _on_the_way(error, region)
    if on_the_way is not None:
        return AwsError(f"{doing}: {on_the_way}")
    return AwsError(_credentials(error))


def resource_failure_text(text: str) -> str:
    """A reason that CloudFormation gives for a resource, made short, with the remedy where one is known."""
    text = without_secrets(text)
    if (action := _ACTION.search(text)) is not None:
        return _denied(text, action[1], DEPLOY_POLICY)
    if (most := memory_limit_in(text)) is not None:
        return memory_limit_text(most)
    if re.search(r"limit exceeded|quota|maximum number of", text, re.I):
        return f"{text.rstrip('.')}: free something, or ask for more under Service Quotas in the AWS console"
    if "already exists" in text:
        return f"{text.rstrip('.')}: remove it, or deploy under another name with --stack"
    return text


def refusal_text(code: str, text: str) -> str:
    """A service's error text without secrets: the refusal of a signature repeats the signed request."""
    bare = code.rpartition(".")[2].removesuffix("Exception")
    if bare in _SKEWED or ((bare in _SIGNATURE or bare == "RequestExpired") and _CLOCK.search(text)):
        return CLOCK_TEXT
    return "the signature is wrong" if bare in _SIGNATURE else without_secrets(text)


def masked(text: str) -> str:
    """The text with whatever looks like a key, a token, a signature or a password in a URL taken out."""
    return _SECRETS.sub("***", text)


def masked_urls(text: str) -> str:
    """The text without the passwords and signatures in its URLs: for lines that quote what a person typed."""
    return _IN_URLS.sub("***", text)


def without_secrets(text: str) -> str:
    """The same in one line of bounded length."""
    text = masked(" ".join(text.split()))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _refused(refusal: _Refusal) -> str:
    """What an error code means. Sources: botocore's models; the services' lists of common errors."""
    code, text, region = refusal.code, refusal.text, refusal.region
    bare = code.rpartition(".")[2].removesuffix("Exception")
    where = f" in {region}" if region else ""
    action = _ACTION.search(text)
    if bare in _SKEWED or ((bare in _SIGNATURE or bare == "RequestExpired") and _CLOCK.search(text)):
        return CLOCK_TEXT
    if bare in _EXPIRED:
        return "the AWS credentials have expired: run `aws sso login` or get new temporary ones, then run this again"
    if bare in _SIGNATURE:  # its text repeats the request's headers
        return f"the signature is wrong ({code}): does the secret key belong to the access key? run `aws configure`"
    if bare in _UNKNOWN:
        return f"AWS does not know these credentials{where} ({code}): {_unknown(region)}"
    if bare in _NOT_SIGNED_UP:
        return f"the account may not use this{where} ({code}): {_enable(region)}, or finish its sign-up in the console"
    if bare in _KEY or (code.startswith("KMS.") and bare == "NotFound") or (action and action[1].startswith("kms:")):
        return (
            f"the KMS key was refused ({code}: {text}): let the caller and the function's role use it in the key's policy "
            "(kms:Decrypt, kms:GenerateDataKey), enable it, or remove it"
        )
    if bare in _DENIED or action is not None:
        return _denied(text, action[1] if action else refusal.operation, refusal.policy)
    if bare in _THROTTLED:
        return f"AWS throttles these requests ({code}): wait a minute and run it again; it continues where it stopped"
    if bare in _QUOTA:
        asked = "free something, or ask for more under Service Quotas in the console"
        return f"a quota of the account is reached{where} ({_or(text, code)}): {asked}"
    if bare == "BucketAlreadyExists":
        return "the bucket's name is taken (all accounts share them): deploy under another name with --stack"
    if bare == "BucketAlreadyOwnedByYou":
        return "the bucket already exists, from an earlier deployment: run `lbench destroy`, then deploy again"
    if bare == "NoSuchBucket":
        return "the deployment's bucket is gone: run `lbench deploy` again"
    if bare in _ELSEWHERE or bare == "PermanentRedirect":
        return f"the bucket is in another region ({code}): set --region to the region of the deployment"
    if "does not exist" in text and "tack" in text:
        return f"the stack does not exist{where} ({text}): run `lbench deploy`, or set --region to its region"
    if bare in _BUSY or "_IN_PROGRESS state" in text:
        return f"another change is under way ({_or(text, code)}): wait until it has ended, then run it again"
    if bare == "ResourceNotFound":
        return f"{_or(text, code)}: is it deployed{where}? see `lbench status`, or set --region to its region"
    if bare in _THEIRS or refusal.status >= 500:
        return f"AWS failed on its side ({_or(text, code)}): run it again"
    return f"{code}: {text}" if text else code


def _or(text: str, code: str) -> str:
    return text.rstrip(".") or code


def _denied(text: str, action: str, policy: str) -> str:
    who = _WHO.search(text)
    person = f"{who[1]} may not do" if who else "these credentials may not do"
    if action.startswith("sts:AssumeRole") or action == "AssumeRole":
        return f"{person} {action}: correct role_arn in the profile, or have the role trust its source"
    if "explicit deny" in text:
        return f"{person} {action}: a policy denies it explicitly (a boundary, or the organization's): ask its administrator"
    return f"{person} {action}: {policy}"


def _unknown(region: str | None) -> str:
    check = "they are wrong, deactivated or have expired; check them with `aws sts get-caller-identity`"
    if region is not None and region not in limits().regions_enabled_by_default:
        return f"{_enable(region)}; or {check}"
    return check


def _enable(region: str | None) -> str:
    named = region or "it"
    return (
        f"the region may not be enabled for the account: enable {named} in the console, or choose another with --region"
    )


def _on_the_way(error: BaseException, region: str | None) -> str | None:
    """The message of a failure on the way to AWS; None: the error is something else."""
    from botocore import exceptions

    # AWS's endpoint is named by its host alone: a URL's query may be signed.
    url = str(getattr(error, "kwargs", {}).get("endpoint_url") or "")
    host = urlsplit(url).hostname or "AWS"
    if isinstance(error, exceptions.ProxyConnectionError):
        return _proxy_text(getattr(error.kwargs.get("error"), "status", None))
    if isinstance(error, exceptions.SSLError):
        return certificate_text(host, str(error.kwargs.get("error") or error))
    if isinstance(error, exceptions.EndpointConnectionError | exceptions.ConnectTimeoutError):
        known = region is None or region in limits().regions_enabled_by_default
        hint = "" if known else f" Is {region} one of AWS's regions?"
        return f"{host} cannot be reached: is there a network, or a proxy to name with HTTPS_PROXY?{hint}"
    if isinstance(error, exceptions.ReadTimeoutError | exceptions.ConnectionClosedError | exceptions.HTTPClientError):
        if has_proxy(url):
            return f"no reply from {host} through the proxy: does it allow this host? see HTTPS_PROXY and NO_PROXY"
        return f"no reply from {host}: is the network stable? run it again"
    if isinstance(error, exceptions.InvalidRegionError | exceptions.NoRegionError | exceptions.UnknownEndpointError):
        return (
            f"AWS has no region {region!r}: choose another with --region" if region else "no AWS region: use --region"
        )
    if isinstance(error, exceptions.EndpointProviderError | exceptions.InvalidEndpointConfigurationError):
        return f"cannot determine the endpoint ({without_secrets(str(error))}): see --region and AWS_ENDPOINT_URL"
    if isinstance(error, exceptions.ParamValidationError | exceptions.WaiterError):
        return without_secrets(str(error))
    return None


def has_proxy(url: str) -> bool:
    """Whether this URL is reached through a proxy that the environment names."""
    from botocore.utils import get_environ_proxies

    return bool(url) and bool(get_environ_proxies(url).get(urlsplit(url).scheme))


def _proxy_text(status: int | None) -> str:
    """Why a proxy is of no use; `status`: what it answered to CONNECT, if anything."""
    if status is None:
        return "the proxy cannot be reached: see HTTPS_PROXY and NO_PROXY"
    if status == 407:
        return "the proxy requires a user and password: set HTTPS_PROXY=http://user:password@host:port"
    return f"the proxy refused ({status}): have it allow AWS's hosts, or name another with HTTPS_PROXY or NO_PROXY"


def certificate_text(host: str, reason: str) -> str:
    """Why a certificate was refused, by OpenSSL's own words, and what to do."""
    if "not yet valid" in reason or "has expired" in reason:
        today = datetime.datetime.now(datetime.UTC)
        return (
            f"the certificate of {host} is not valid at this machine's time ({today:%Y-%m-%d %H:%M} UTC): "
            f"{SET_CLOCK} if that is wrong"
        )
    return f"the certificate of {host} is not trusted: set AWS_CA_BUNDLE to the CA bundle that its issuer is in"


def _credentials(error: BaseException) -> str:
    """Why there are no usable credentials. Only texts that botocore itself has made are repeated."""
    from botocore import exceptions

    text = without_secrets(str(error))
    if isinstance(error, exceptions.NoCredentialsError):
        return NO_CREDENTIALS
    if isinstance(error, Prompted | exceptions.RefreshWithMFAUnsupportedError):
        return (
            "the AWS profile requires a code of an MFA device, which lbench cannot ask for: get temporary credentials first "
            "(`aws sts get-session-token --serial-number ... --token-code ...`) and export them"
        )
    if isinstance(error, CliFailed):
        return (
            "the AWS CLI did not give the credentials of this profile: run `aws login` again with the same profile, "
            "and update the CLI where it does not know `aws configure export-credentials`"
        )
    if isinstance(error, exceptions.SSOError | exceptions.TokenRetrievalError | exceptions.NoAuthTokenError):
        return f"the AWS sign-on has ended ({text}): run `aws sso login` with the same profile"
    if isinstance(error, exceptions.CredentialRetrievalError) and "custom-process" in text:
        return "the profile's credential_process failed: run it by hand to see why"
    if isinstance(error, exceptions.ProfileNotFound):
        return f"{text}: correct AWS_PROFILE, or run `aws configure --profile ...`"
    if isinstance(error, exceptions.BotoCoreError):
        return f"cannot get AWS credentials: {text}"
    # A source's own, as of a credential_process that prints no JSON: its text may hold what was printed.
    return f"cannot get AWS credentials ({type(error).__name__}): is the profile's configuration right?"
