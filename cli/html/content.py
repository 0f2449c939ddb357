"""The content of a report: the answer in words, a table for each job, the environment, and every caveat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec

from lbench.analysis.break_even import BreakEven
from lbench.analysis.causes_text import reason_texts
from lbench.analysis.comparison import Comparison, Line, Summary, by_label, compare
from lbench.analysis.format import percent_text
from lbench.analysis.function_calls import calls_of
from lbench.analysis.hedging import hedging_lines
from lbench.analysis.prediction import predict_comparison, predicted_sentence
from lbench.analysis.resumption import resumed_text, sweeps_of
from lbench.analysis.scaling import Scaling, scalings
from lbench.analysis.scaling_text import break_even_spread, law_lines, scaling_notes, scaling_sentence
from lbench.analysis.session_comparison import Job, SessionComparison, compare_sessions
from lbench.analysis.session_comparison_text import (
    change_text,
    comparison_sentences,
    cost_text,
    needed_text,
    permutation_text,
)
from lbench.analysis.verdict import answer_sentence
from lbench.analysis.warnings import order_text, stability_warnings
from lbench.cli.function_report import call_lines
from lbench.cli.html.cells import Cell, Section, ms_cell, seconds_cell, times_cell, usd_cell
from lbench.cli.html.figure import Figure
from lbench.cli.html.job_figures import job_figures
from lbench.cli.html.sweep_figures import sweep_figures
from lbench.cli.html.tuning import TUNED, is_tuning, tuning_section
from lbench.engine.billing.bill import run_bill, run_cost_of
from lbench.engine.cost.format import usd_short
from lbench.engine.session.view import RunView, SessionView
from lbench.errors import InputError, count_text

__all__ = ["Content", "content_of"]

_BREAK_EVEN = (
    "break-even: from so many runs an hour on a rented machine costs less than paying by the run, if it can do them"
)
_CLAIMS = {"faster": "faster", "slower": "slower", "open": "unclear", "unsettled": "not settled"}
_MOST_ANSWERS = 4  # jobs up to which each has its answer at the head of a comparison
_MOST_JOBS = 6  # that get figures of their own in one report; the others have their table


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """The whole report."""

    title: str
    subtitle: str
    answer: tuple[str, ...]  # in words, first of all
    sections: tuple[Section, ...]
    environments: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]  # of each session: name and value
    caveats: tuple[str, ...]

    @property
    def figures(self) -> list[Figure]:
        return [one for section in self.sections for one in section.figures]


def content_of(sessions: Sequence[tuple[str, SessionView]]) -> Content:
    """What a report on these sessions says.

    Raises:
        InputError: no run of theirs has come to an end.
    """
    views = [view for _, view in sessions]
    _check_twice(sessions)
    if not any(run.makespan_s is not None for view in views for run in view.runs.values()):
        names = ", ".join(name for name, _ in sessions)
        raise InputError(f"nothing to report: no run of {names} has come to an answer")
    answer: list[str] = []
    sections: list[Section] = []
    caveats: dict[str, None] = {}
    compared = _compared(sessions, caveats)
    if compared is not None:
        answer += comparison_sentences(compared)
        sections += [_compared_section(job, compared) for job in compared.jobs if any(row.effect for row in job.rows)]
    found = _swept(views, caveats)
    several = len({(one.workload, one.axis) for one in found}) > 1 or len(_workloads(views)) > 1 or compared is not None
    for number, scaling in enumerate(found):
        subject = f"{scaling.workload} along {scaling.axis}: " if several else ""
        answer.append(f"{subject}{scaling_sentence(scaling)}")
        sections.append(_sweep_section(scaling, f"sweep{number + 1}"))
    if laws := law_lines(found):
        sections.append(Section(title="Scaling along workers", facts="", sentences=tuple(laws)))
    for number, view in enumerate(views):
        if (tuning := tuning_section(view, f"tune{number + 1}")) is not None:
            subject = f"{tuning.title.removesuffix(TUNED)}: " if several or found else ""
            answer += [f"{subject}{sentence}" for sentence in tuning.sentences]
            sections.append(tuning)
    for name, view in sessions:
        if called := [run for run in view.started_runs if not run.has_answer]:
            section = _function_section(called, "" if len(sessions) == 1 else f" in {name}")
            answer += section.sentences
            sections.append(section)
    every = [(name, view, key, runs) for name, view in sessions for key, runs in _jobs(view).items()]
    jobs = _one_of_each_sweep(every)
    for number, (name, view, _, runs) in enumerate(jobs):
        comparison = compare(runs, run_bill)
        title = runs[0].planned.workload if len(sessions) == 1 else f"{runs[0].planned.workload} in {name}"
        sentence = answer_sentence(comparison) if _timed(comparison) else "No run has come to an answer."
        if runs[0].planned.sweep is None and (compared is None or len(jobs) <= _MOST_ANSWERS):
            answer.append(sentence if len(jobs) == 1 else f"{title}: {sentence}")
        reasons, parts = reason_texts(view, runs)
        made = job_figures(comparison, runs, parts, f"job{number + 1}") if number < _MOST_JOBS else []
        sections.append(_job_section(title, comparison, runs, [sentence, *(f"{text}." for text in reasons)], made))
    for name, view in sessions:
        _add_caveats(caveats, name if len(sessions) > 1 else "", view)
    headers = [view.header for view in views if view.header is not None]
    return Content(
        title=f"{', '.join(_workloads(views))}: measured with lbench",
        subtitle=" · ".join(
            f"{name}, {header.created[:16].replace('T', ' ')}"
            for (name, _), header in zip(sessions, headers, strict=False)
        ),
        answer=tuple(answer),
        sections=tuple(sections),
        environments=tuple((name, _environment(view)) for name, view in sessions),
        caveats=tuple(caveats),
    )


def _workloads(views: Sequence[SessionView]) -> list[str]:
    return list(dict.fromkeys(run.planned.workload for view in views for run in view.started_runs))


def _check_twice(sessions: Sequence[tuple[str, SessionView]]) -> None:
    """Refuse a session that is named twice.

    Raises:
        InputError: one is.
    """
    seen: dict[str, str] = {}
    for name, view in sessions:
        identity = name if view.header is None else view.header.id
        if identity in seen:
            raise InputError(f"{name} is the same session as {seen[identity]}: name each session once")
        seen[identity] = name


def _compared(sessions: Sequence[tuple[str, SessionView]], caveats: dict[str, None]) -> SessionComparison | None:
    if len(sessions) < 2:
        return None
    try:
        found = compare_sessions(sessions, run_bill)
    except InputError as error:
        caveats[f"The sessions are not compared with each other: {error}"] = None
        return None
    for one in found.differences:
        pairs = "; ".join(f"{name}: {value}" for name, value in zip(found.sessions, one.values, strict=False))
        caveats[f"The sessions differ in {one.what}: {pairs}"] = None
    for job in found.jobs:
        how = "is shown apart" if job.rows else "is not compared"
        for apart in job.apart:
            caveats[f"{apart.session}: {apart.what} {how}: {apart.why}"] = None
    return found


def _swept(views: Sequence[SessionView], caveats: dict[str, None]) -> list[Scaling]:
    """The sweeps of these sessions: those of one workload along the same axes together, of several machines."""
    groups: dict[tuple[str, ...], dict[str, list[SessionView]]] = {}
    for identity, part in chain.from_iterable(sweeps_of(view).items() for view in views):
        planned = next(run.planned for run in part.runs.values() if run.planned.sweep is not None)
        if planned.sweep is not None and not is_tuning(planned):
            group = groups.setdefault((planned.workload, *sorted(planned.sweep.point)), {})
            group.setdefault(identity, []).append(part)
    found = []
    for sweeps in groups.values():
        together = list(chain.from_iterable(sweeps.values()))
        try:
            found += scalings(together, run_bill, predict=predict_comparison)
        except InputError as error:
            if len(sweeps) == 1:
                caveats[f"A sweep is in no curve: {error}"] = None
                continue
            caveats[f"Sweeps are shown one by one: {error}"] = None
            for one in sweeps.values():
                try:
                    found += scalings(one, run_bill, predict=predict_comparison)
                except InputError as reason:
                    caveats[f"A sweep is in no curve: {reason}"] = None
    return found


def _jobs(view: SessionView) -> dict[Any, list[RunView]]:
    """The runs of a session by what was computed: workload, parameters, data."""
    found: dict[Any, list[RunView]] = {}
    for run in view.runs.values():
        if run.started is None or not run.has_answer or run.planned.interaction is not None:
            continue
        data = run.started.data.digest if run.started.data is not None else ""
        point = run.planned.sweep.point if run.planned.sweep is not None else {}
        # Settings of backends may be swept, too: a place of the axis is a job of its own.
        key = msgspec.json.encode(
            [run.planned.workload, run.planned.params, run.planned.seed, data, point], order="sorted"
        )
        found.setdefault(key, []).append(run)
    return found


_JobOf = tuple[str, SessionView, Any, list[RunView]]


def _one_of_each_sweep(jobs: list[_JobOf]) -> list[_JobOf]:
    """The jobs that are shown: all that are of no sweep; of a sweep the longest, of a tuning the fastest."""
    swept: dict[str, list[_JobOf]] = {}
    for job in jobs:
        sweep = job[3][0].planned.sweep
        if sweep is not None:
            swept.setdefault(sweep.id, []).append(job)
    shown = [job for job in jobs if job[3][0].planned.sweep is None]
    for group in swept.values():
        timed = [(min(times), job) for job in group if (times := [run.makespan_s for run in job[3] if run.makespan_s])]
        if timed:
            choose = min if is_tuning(group[0][3][0].planned) else max
            shown.append(choose(timed, key=lambda pair: pair[0])[1])
    return shown


def _timed(comparison: Comparison) -> bool:
    return any(summary.makespan_s is not None for summary in comparison.summaries)


def _compared_section(job: Job, comparison: SessionComparison) -> Section:
    """A job that several sessions share: each row against its base, and what the effects rest on."""
    rows, notes = [], []
    for row in job.rows:
        effect = row.effect
        alike = effect is None or effect.against == f"{comparison.sessions[0]} {row.name}"
        against = "" if alike or effect is None else f" (against {effect.against})"
        rows.append(
            (
                Cell(row.session),
                Cell(row.machine),
                Cell(f"{row.name}{_origin(row.origin, row.label)}"),
                Cell(str(len(row.times_s)), str(len(row.times_s))),
                seconds_cell(row.makespan_s),
                Cell("–") if effect is None else times_cell(effect.ratio),
                Cell("the base" if effect is None else f"{_CLAIMS[effect.claim]}{against}"),
                Cell("–") if row.usd is None else Cell(usd_short(row.usd), str(row.usd)),
            )
        )
        if effect is not None:
            parts = [change_text(effect), permutation_text(effect), needed_text(effect)]
            notes.append(f"{row.session} {row.name}: {'; '.join(part for part in parts if part)}")
    if (cost := cost_text(msgspec.structs.replace(comparison, jobs=(job,)))) is not None:
        notes.append(cost)
    given = [f"{name} {value}" for name, value in job.params.items() if value is not None]
    return Section(
        title=f"{job.workload} in {count_text(len({row.session for row in job.rows}), 'session')}",
        facts=" · ".join([*given, f"seed {job.seed}"]),
        sentences=("Sessions share no rounds: nothing is paired.",),
        head=("session", "machine", "backend", "runs", "makespan", "times as fast", "claim", "cost"),
        rows=tuple(rows),
        words=3,
        notes=tuple(notes),
    )


def _sweep_section(scaling: Scaling, prefix: str) -> Section:
    rows = []
    evens = {(even.at, even.paid): even for even in scaling.break_evens}
    for place in scaling.places:
        for one in scaling.series:
            point = one.at(place)
            if point is None or point.makespan_s is None:
                continue
            usd = point.usd or point.rent_usd
            rows.append(
                (
                    Cell(f"{place:,g}", repr(place)),
                    Cell(f"{one.name}{_origin(one.origin, one.label)}"),
                    Cell("–" if one.origin == "predicted" else f"{point.repeats_ok}/{point.repeats}"),
                    seconds_cell(point.makespan_s),
                    times_cell(point.speedup),
                    Cell("–") if usd is None else usd_cell(usd, "" if point.usd else " rented"),
                    _break_even(evens.get((place, one.name))),
                )
            )
    given = [f"{name} {value}" for name, value in {**scaling.params, **scaling.beside}.items() if value is not None]
    data = [] if scaling.data is None else [f"data: {scaling.data}"]
    return Section(
        title=f"{scaling.workload} along {scaling.axis.replace('_', ' ')}",
        facts=" · ".join([*given, f"seed {scaling.seed}", *data]),
        sentences=(scaling_sentence(scaling),),
        head=(
            scaling.axis.replace("_", " "),
            "backend",
            "runs",
            "makespan",
            "speedup",
            "cost",
            "break-even, runs an hour",
        ),
        rows=tuple(rows),
        words=3,
        figures=tuple(sweep_figures(scaling, prefix)),
        notes=(*scaling_notes(scaling), *([_BREAK_EVEN] if evens else [])),
    )


def _function_section(runs: list[RunView], where: str) -> Section:
    """A deployed function: its cold and its warm calls."""
    rows = []
    for label, group in by_label(runs).items():
        calls = calls_of(group)
        for word, one in (("cold", calls.cold), ("warm", calls.warm)):
            times = (one.init_p50_ms, one.init_p99_ms, one.duration_p50_ms, one.duration_p99_ms)
            rows.append(
                (
                    Cell(f"{label} {word}"),
                    Cell(f"{one.count:,}", str(one.count)),
                    *map(ms_cell, (*times, one.round_trip_p50_ms, one.billed_p50_ms)),
                )
            )
    given = [f"{name} {value}" for name, value in runs[0].planned.params.items() if value is not None]
    return Section(
        title=f"{runs[0].planned.workload}{where}",
        facts=" · ".join(given),
        sentences=tuple(f"{line}." for line in call_lines(runs)),
        head=_FUNCTION_HEAD,
        rows=tuple(rows),
    )


def _break_even(found: BreakEven | None) -> Cell:
    """Runs an hour from which a rented machine is cheaper, with the interval; more than it can do: never."""
    if found is None:
        return Cell("–")
    text = f"{math.ceil(found.runs_an_hour * (1 - 1e-12)):,}"
    if not found.reachable:
        text += f" (it can do {math.floor(found.most_an_hour):,})"
    return Cell(text, repr(found.runs_an_hour), break_even_spread(found))


_FUNCTION_HEAD = (
    "calls",
    "number",
    "init p50",
    "init p99",
    "duration p50",
    "duration p99",
    "round trip p50",
    "billed p50",
)
_HEAD = (
    "backend",
    "runs",
    "makespan",
    "speedup",
    "task p50",
    "task p99",
    "task CV",
    "cold starts",
    "cost",
    "answer",
)


def _job_section(
    title: str, comparison: Comparison, runs: list[RunView], answer: list[str], figures: list[Figure]
) -> Section:
    sentences = list(answer[:1])
    notes = _rents(comparison)
    if (predicted := predict_comparison(comparison, runs)) is not None and _timed(comparison):
        sentences.append(predicted_sentence(predicted, comparison.baseline))
        notes.append(predicted.conditions)
    sentences += [*hedging_lines(runs), *answer[1:]]
    first = runs[0]
    tasks = max((run.known_tasks for run in runs), default=0)
    given = [f"{name} {value}" for name, value in first.planned.params.items() if value is not None]
    data = [] if first.started is None or first.started.data is None else [f"data: {first.started.data.source}"]
    point = (
        []
        if first.planned.sweep is None
        else [f"{name} = {value}" for name, value in first.planned.sweep.point.items()]
    )
    return Section(
        title=title if not point else f"{title} at {', '.join(point)}",
        facts=" · ".join([count_text(tasks, "task"), *given, f"seed {first.planned.seed}", *data]),
        sentences=tuple(sentences),
        head=_HEAD,
        rows=tuple(_row(summary, line) for summary, line in comparison.rows),
        figures=tuple(figures),
        notes=tuple(notes),
    )


def _row(one: Summary, line: Line) -> tuple[Cell, ...]:
    warm = line.temperature != "cold"
    name = f"{one.label}{'' if line.temperature is None else f' {line.temperature}'}{_origin(one.origin, one.label)}"
    return (
        Cell(name),
        Cell(f"{line.repeats_ok}/{line.repeats}", str(line.repeats_ok)),
        seconds_cell(line.makespan_s),
        times_cell(line.speedup),
        ms_cell(one.duration_p50_ms if warm else None),
        ms_cell(one.duration_p99_ms if warm else None),
        Cell("–" if one.duration_cv is None or not warm else percent_text(one.duration_cv)),
        Cell("–") if line.cold_starts is None else Cell(str(line.cold_starts), str(line.cold_starts)),
        _cost(one, line),
        Cell(
            {"same": "✔ same", "wrong": "✘ wrong", "equal": "= equal", "differ": "✘ differ"}.get(
                one.answer, "not checked"
            )
        ),
    )


def _origin(origin: str, label: str) -> str:
    """Where figures come from, unless the label says it."""
    return "" if origin == "measured" or origin in label else f" ({origin})"


def _cost(one: Summary, line: Line) -> Cell:
    usd = line.rent_usd if one.priced_by_worker else line.usd
    return Cell("–") if usd is None else Cell(usd_short(usd, assumed=bool(one.assumed)), str(usd))


def _rents(comparison: Comparison) -> list[str]:
    lines = []
    for one in comparison.summaries:
        if one.rent_basis is not None and one.rent_usd is not None:
            what = "cost" if one.priced_by_worker else "not in the cost"
            lines.append(f"{one.label}: {what}: {usd_short(one.rent_usd)} a run, {one.rent_basis}")
    return list(dict.fromkeys(lines))


def _environment(view: SessionView) -> tuple[tuple[str, str], ...]:
    header = view.header
    if header is None:
        return ()
    found: list[tuple[str, str]] = [("lbench", header.lbench_version)]
    for name, value in msgspec.to_builtins(header.environment).items():
        if name == "packages" and isinstance(value, dict):
            found.append((name, ", ".join(f"{package} {version}" for package, version in value.items())))
        elif name == "variables" and isinstance(value, dict):
            found += [(variable, str(setting)) for variable, setting in value.items()]
        elif name == "memory_bytes" and isinstance(value, int):
            found.append(("memory", f"{value / 2**30:.1f} GiB"))
        elif value is not None:
            found.append((name.replace("_", " "), str(value)))
    return tuple(found)


def _add_caveats(caveats: dict[str, None], name: str, view: SessionView) -> None:
    before = f"{name}: " if name else ""
    if (resumed := resumed_text(view)) is not None:
        caveats[f"{before}{resumed}"] = None
    texts = [warning.text for warning in view.warnings] + [warning.text for warning in stability_warnings(view)]
    for text in filter(None, (*texts, order_text(view))):
        caveats[f"{before}{text}"] = None
    for run in view.runs.values():
        if run.started is None:
            continue
        label = run.planned.label
        for note in run.notes:
            caveats[f"{before}{label}: {note}"] = None
        if run.ended is not None and run.ended.error:
            caveats[f"{before}{label}: a run {run.status}: {run.ended.error}"] = None
        elif run.status in ("cancelled", "interrupted", "over_budget", "running"):
            caveats[f"{before}{label}: a run was {str(run.status).replace('_', ' ')} and is in no figure"] = None
        if run.planned.origin != "measured":
            caveats[f"{before}{label} is {run.planned.origin} on this machine: nothing of it was measured on AWS"] = (
                None
            )
        cost = run_cost_of(run)
        if cost is not None:
            for text in (*cost.unpriced, *cost.estimated, *cost.assumed):
                caveats[f"{before}{label}, cost: {text}"] = None
