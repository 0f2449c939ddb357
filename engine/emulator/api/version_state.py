"""The state of a version as AWS reports it: Pending after its creation, InProgress after an update, each for a time."""

from __future__ import annotations

import time
import uuid
from typing import Literal

__all__ = ["VersionState"]

_REASON = "The function is being created."  # AWS gives it for updates too


class VersionState:
    """When a version was modified, its revision, and what is under way. `_s` on the loop's clock."""

    __slots__ = ("_change", "modified", "revision", "settled_s")

    def __init__(self, change: Literal["create", "update"], now_s: float, activation_s: float) -> None:
        self.modified = time.strftime("%Y-%m-%dT%H:%M:%S.000+0000", time.gmtime())
        self.revision = str(uuid.uuid4())
        self._change: Literal["create", "update"] | None = change if activation_s else None
        self.settled_s = now_s + activation_s

    def settle(self, now_s: float) -> VersionState:
        """Take note of the time: what was under way may be over, which is a new revision."""
        if self._change is not None and now_s >= self.settled_s:
            self._change = None
            self.revision = str(uuid.uuid4())
        return self

    @property
    def pending(self) -> bool:
        return self._change == "create"

    @property
    def in_progress(self) -> bool:
        return self._change == "update"

    def describe(self, *, listed: bool) -> dict[str, str]:
        """Its members of a FunctionConfiguration; lists have none of its state."""
        members = {"LastModified": self.modified, "RevisionId": self.revision}
        if listed:
            return members
        if self.pending:
            return members | {"State": "Pending", "StateReason": _REASON, "StateReasonCode": "Creating"}
        members |= {"State": "Active", "LastUpdateStatus": "Successful"}
        if self.in_progress:
            members |= {
                "LastUpdateStatus": "InProgress",
                "LastUpdateStatusReason": _REASON,
                "LastUpdateStatusReasonCode": "Creating",
            }
        return members
