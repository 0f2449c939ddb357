"""A count stands before its noun in the right number: "1 run", never "1 runs"."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from lbench.errors import count_text

ROOT = Path(__file__).parent.parent
FOLDERS = ("analysis", "cli", "tui", "engine", "workloads", "config", "lambda_src")
NOUNS = (
    *("runs", "tasks", "repeats", "environments", "workers", "rounds", "calls", "points", "invocations", "backends"),
    *("sessions", "others", "comparisons", "figures", "files", "cores", "attempts", "stages", "threads", "resamples"),
    *("trees", "mappers", "rows", "parameters", "objects", "blobs"),
)
AFTER = re.compile(rf" ({'|'.join(NOUNS)})\b")
# The number is never 1 there, is no count, or the text is not ours: each with its reason.
NEVER_ONE = {
    "analysis/calibration.py": "a fixed number of runs and calls that is needed",
    "analysis/causes.py": "more than one BLAS thread",
    "analysis/engine_death.py": "a job that runs: no count",
    "analysis/options_text.py": "a range of runs; more than one busy thread",
    "analysis/prediction.py": "more than one busy thread",
    "analysis/scaling_text.py": "an interval has two repeats at least",
    "analysis/session_comparison.py": "cold repeats, warm repeats",
    "engine/backends/lambda_/concurrency_quota.py": "several backends share the limit",
    "engine/runner/retry.py": "more than one attempt",
    "engine/sampling/overhead.py": "a machine's identity, which nobody reads",
    "engine/sampling/process.py": "thousands of stages",
    "engine/simulation/recordings/lithops.py": "a recorded fan-out",
    "engine/simulation/recordings/step_functions.py": "a recorded fan-out",
    "engine/simulation/recordings/idle.py": "a rate",
    "tui/widgets/cost.py": "one has words of its own",
    "workloads/recorded/describe.py": "more than one stage",
    "workloads/own/workload.py": "thousands of stages",
    "analysis/verdict.py": "a correction is of two comparisons at least",
    "cli/report.py": "the same",
    "cli/progress.py": "done of all, as 1/1",
    "cli/commands/deploy.py": "a stack that runs a function",
    "engine/backends/simulated/backend.py": "one has words of its own",
    "engine/explore/coarse.py": "one has words of its own",
    "engine/plan/open_backend.py": "more workers than the quota's cores",
    "workloads/kmeans/census.py": "a file of one row has no clusters",
    "workloads/kmeans/rows.py": "the rows of a task, which are many",
    "workloads/random_forest/job.py": "one tree has words of its own",
    "workloads/random_forest/generator.py": "200 rows at least",
}


def test_a_count_has_its_noun() -> None:
    assert [count_text(*each) for each in ((1, "run"), (0, "run"), (12_000, "task"), (2, "entry", "entries"))] == [
        "1 run", "0 runs", "12,000 tasks", "2 entries",
    ]  # fmt: skip


def counted(path: Path) -> Iterator[tuple[int, str]]:
    """The texts in which a value stands right before a plural noun, unless "of" or "at most" a fixed number goes before."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.JoinedStr):
            continue
        for before, value, after in zip([None, *node.values], node.values, node.values[1:], strict=False):
            if not isinstance(value, ast.FormattedValue) or not isinstance(after, ast.Constant):
                continue
            if not AFTER.match(str(after.value)) or is_fixed(value.value):
                continue
            if isinstance(before, ast.Constant) and str(before.value).endswith(" of "):
                continue  # "1 of 1 tasks"
            yield node.lineno, ast.unparse(node)


def is_fixed(value: ast.expr) -> bool:
    """Whether it is a constant of the module, or text."""
    return isinstance(value, ast.Name) and value.id.isupper()


def test_a_count_and_its_noun_agree() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if str(path.relative_to(ROOT)) not in NEVER_ONE
        for line, text in counted(path)
    ]
    assert found == [], "say count_text(number, noun)"
