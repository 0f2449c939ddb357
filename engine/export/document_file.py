"""An exported document as it stands in its file: runs decoded, their invocations still bytes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lbench.decoding import decode_json
from lbench.engine.export.document import check_head, check_runs
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.model import VERSION, Comparison, Run, Warning_, check_times
from lbench.errors import SessionFileError, utf8, visible_json

__all__ = ["FileDocument", "FileRun", "read_file"]


class FileRun(Run, frozen=True, kw_only=True):
    """A run with its invocations as they stand in the file."""

    invocations: msgspec.Raw  # type: ignore[assignment]

    @property
    def ended(self) -> bool:
        """Whether its end was recorded."""
        return self.status not in ("running", "interrupted")

    @property
    def last_s(self) -> float:
        """When the last thing of it happened that is known without its invocations."""
        ends = [stage.finished_s or stage.started_s for stage in self.stages]
        return max([self.makespan_s or 0.0, *ends, *(sample.t_s for sample in self.machine_samples)])


class FileDocument(msgspec.Struct, frozen=True):
    """The parts of a document that its events come from."""

    id: str
    name: str
    created: str
    lbench_version: str
    complete: bool
    environment: Environment
    runs: list[FileRun]
    warnings: list[Warning_]
    format: str
    version: int
    comparisons: list[Comparison] | None = None


def read_file(path: Path) -> FileDocument:
    """The document.

    Raises:
        SessionFileError: the file is not a session document, or is torn, damaged or of a newer version.
    """
    try:
        content = visible_json(utf8(path.read_bytes()))
    except OSError as error:
        raise SessionFileError(f"{path} cannot be read: {error.strerror}") from None
    try:
        parsed = decode_json(content, FileDocument)
        check_times([parsed.created, *(run.started for run in parsed.runs)])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        check_head(path, content)
        raise SessionFileError(f"{path} is damaged: {error}") from None
    if parsed.format != "lbench.session" or parsed.version > VERSION:
        check_head(path, content)
    check_runs(path, [(run.id, run.makespan_s) for run in parsed.runs])
    return parsed
