"""Has the answer of a run checked after the run, and records the result."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lbench.config.folders import cache_folder
from lbench.engine.journal.events import Answered, Phase, Warned
from lbench.engine.journal.writer import Journal
from lbench.engine.machine.code_digest import code_digest
from lbench.engine.measure.setup import Common, PlannedRun
from lbench.engine.model import Answer
from lbench.engine.verify import reference_client as checking
from lbench.engine.verify.reference_process import Request, Verdict
from lbench.errors import InputError, LbenchError
from lbench.workloads.encoding import encode
from lbench.workloads.parameters import settable

__all__ = ["Judge"]


class Judge:
    """Judges the answers of one session; `stopped()` returns whether the session is being stopped."""

    def __init__(self, folder: Path, journal: Journal, stopped: Callable[[], bool]) -> None:
        self._folder = folder
        self._journal = journal
        self._stopped = stopped
        self._pictured = False
        self._verdicts: dict[str, Answer] = {}  # of the plan, by the digest of an answer

    def begin(self) -> None:
        """Begin a plan: its first answer is the one that is drawn."""
        self._pictured = False
        self._verdicts.clear()

    async def judge(self, job: Common, run: PlannedRun, answer: Any) -> bool | None:
        """Check an answer; returns whether it is right, or None: there is no answer, or nothing to check it against.

        The reason why it could not be checked is recorded as a warning.
        """
        if answer is None:
            return None
        try:
            encoded = await asyncio.to_thread(encode, answer)
            del answer
            verdict = await self._known_or_check(job, run, encoded)
        except LbenchError as error:
            verdict = Verdict(None, str(error))
        if verdict.answer is not None:
            self._journal.write(Answered(run.id, verdict.answer))
        elif not self._stopped():
            why = f"the answer of {run.choice.label} could not be checked: {verdict.error}"
            self._journal.write(Warned("unchecked", why, run.id))
        await self._journal.sync()
        return None if verdict.answer is None else verdict.answer.ok

    async def _known_or_check(self, job: Common, run: PlannedRun, encoded: bytes) -> Verdict:
        """Check an answer, unless the plan had the same one, to the last bit."""
        digest = (await asyncio.to_thread(hashlib.sha256, encoded)).hexdigest()
        if digest in self._verdicts:
            return Verdict(self._verdicts[digest])
        verdict = await self._check(job, run, encoded)
        if verdict.answer is not None:
            self._verdicts[digest] = verdict.answer
        return verdict

    async def _check(self, job: Common, run: PlannedRun, encoded: bytes) -> Verdict:
        self._journal.write(Phase(f"checking the answer of {run.choice.label}"))
        request = Request(
            workload=job.plan.workload,
            params=settable(job.params),
            tasks=job.params.tasks,
            seed=job.params.seed,
            data=None if job.published is None else str(job.published.path),
            data_digest=None if job.published is None else job.published.digest,
            versions=code_digest(job.description.code),
            cache=_cache(),
            picture=None if self._pictured else job.plan.picture,
        )
        self._pictured = True
        return await checking.ask(request, encoded, self._folder, self._stopped)


def _cache() -> str | None:
    """The folder of references; None: it cannot be made, and each is computed when it is needed."""
    try:
        return str(cache_folder("references"))
    except InputError:
        return None
