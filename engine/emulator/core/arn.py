"""Function names and ARNs: their patterns, and the one place where they are parsed."""

from __future__ import annotations

import os
import re
import time
import uuid

from lbench.engine.emulator.core.errors import Refusal

__all__ = [
    "ACCOUNT",
    "FUNCTION",
    "NAMESPACED",
    "QUALIFIER",
    "TAGGABLE",
    "arn",
    "invalid_member",
    "is_uuid",
    "new_id",
    "parse",
    "trace_id",
]

ACCOUNT = "000000000000"
_REGION = r"((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?"
_PREFIX = rf"(arn:(aws[a-zA-Z-]*)?:lambda:)?{_REGION}(\d{{12}}:)?(function:)?"
# As AWS's own messages spell them
FUNCTION = _PREFIX + r"([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
NAMESPACED = _PREFIX + r"([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
QUALIFIER = r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"
TAGGABLE = (
    r"arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:"
    r"(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}"
    r"|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    r"|capacity-provider:[a-zA-Z0-9-_]+)"
)
# The groups of the patterns above: region with its colon, account with its colon, name, qualifier
_GROUPS = (3, 9, 11, 13)
_SIMPLE = re.compile(r"[a-zA-Z0-9-_]{1,64}")
_NAMESPACED = re.compile(NAMESPACED)
_QUALIFIER = re.compile(QUALIFIER)
_QUALIFIER_MAX = 128


def parse(text: str, region: str, qualifier: str | None = None, *, operation: str = "") -> tuple[str, str]:
    """(name, qualifier or "") of a name, a partial ARN or an ARN; `qualifier`: the one of the query.

    Raises:
        Refusal: the text or the qualifier is invalid, the two qualifiers differ, or the function would be in
        another region or account.
    """
    if qualifier is None and _SIMPLE.fullmatch(text):
        return text, ""
    found = _NAMESPACED.fullmatch(text)
    problems = [] if found is not None else [invalid_member("functionName", text, _pattern(NAMESPACED))]
    if qualifier is not None:
        if len(qualifier) > _QUALIFIER_MAX:
            limit = f"Member must have length less than or equal to {_QUALIFIER_MAX}"
            problems.insert(0, invalid_member("qualifier", qualifier, limit))
        elif not _QUALIFIER.fullmatch(qualifier):
            problems.insert(0, invalid_member("qualifier", qualifier, _pattern(QUALIFIER)))
    if problems or found is None:
        raise Refusal.invalid(problems)
    of_region, account, name, own = (found[group] or "" for group in _GROUPS)
    if own and qualifier and own != qualifier:
        raise Refusal(
            "InvalidParameterValueException",
            "The derived qualifier from the function name does not match the specified qualifier.",
        )
    if of_region and of_region != f"{region}:":
        text = f"Functions from '{of_region[:-1]}' are not reachable in this region ('{region}')"
        raise Refusal("ResourceNotFoundException", text)
    if account and account != f"{ACCOUNT}:":
        raise Refusal("AccessDeniedException", _denied(operation, text))
    return name, qualifier or own


def _denied(operation: str, resource: str) -> str | None:
    """AWS's sentence for another account's function; for CreateFunction it sends none."""
    if operation in ("", "CreateFunction"):
        return None
    action = f"lambda:{'InvokeFunction' if operation == 'Invoke' else operation}"
    return (
        f"User: arn:aws:iam::{ACCOUNT}:user/lbench is not authorized to perform: {action} on resource: {resource} "
        f"because no resource-based policy allows the {action} action"
    )


def _pattern(pattern: str) -> str:
    return f"Member must satisfy regular expression pattern: {pattern}"


def invalid_member(member: str, value: object, constraint: str) -> str:
    """AWS's sentence for a member that does not satisfy a constraint; `value` None: it is null."""
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{member}' failed to satisfy constraint: {constraint}"


def arn(region: str, name: str, qualifier: str = "") -> str:
    """The function's ARN, with the qualifier if there is one."""
    return f"arn:aws:lambda:{region}:{ACCOUNT}:function:{name}" + (f":{qualifier}" if qualifier else "")


def new_id() -> str:
    """A random UUID (version 4), made in a quarter of `uuid.uuid4`'s time."""
    text = os.urandom(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[int(text[16], 16) & 3]}{text[17:20]}-{text[20:]}"


def trace_id(request_id: str, *, sampled: bool = False) -> str:
    """An X-Ray id for a request without one."""
    root = f"Root=1-{int(time.time()):08x}-{request_id[-12:]}{request_id[:8]}{request_id[9:13]}"
    return f"{root};Parent={request_id[-12:]}{request_id[:4]};Sampled=1" if sampled else f"{root};Sampled=0"


def is_uuid(text: str) -> bool:
    """Whether the text is a UUID in the usual spelling."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
