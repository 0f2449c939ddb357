"""The set-up's texts and the plan that they mean. The form's rules are here, without widgets.

Every form comes from typed Structs (`workloads.parameters`): a workload's parameters, a backend's settings, and `Run`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from lbench.config.folders import typed_path
from lbench.config.settings import ForSeconds, Repeats, Retries, ScheduleChoice, Seed, TaskTimeout, Warmup
from lbench.engine.backends import catalog
from lbench.engine.plan.function import with_payload
from lbench.engine.plan.parse import backend_choice, with_each
from lbench.engine.plan.plan import BackendChoice, Plan
from lbench.engine.plan.validate import validate, validate_backend, validate_job
from lbench.errors import InputError, LbenchError
from lbench.workloads import parameters, registry
from lbench.workloads.function import WORKLOAD_NAME as FUNCTION
from lbench.workloads.model import Description
from lbench.workloads.parameters import Field

__all__ = [
    "OWN_FIELD",
    "OWN_FILE",
    "BackendForm",
    "Draft",
    "OwnWorkload",
    "RunSettings",
    "form_fields",
    "plain_number",
    "range_text",
    "read_own",
    "text_of",
    "usual_text",
    "value_text",
]

OWN_FILE = "own file"  # stands beside the workloads' names
OWN_FIELD = Field(
    name="file",
    type="text",
    default="",
    meaning="./FILE.py:JOB or :FUNCTION, or recorded:NAME; enter shows its parameters",
)


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a comparison is run."""

    tasks: (
        Annotated[int, Meta(ge=1, description="tasks of the first stage; none: the workload's own number")] | None
    ) = None
    repeats: Repeats = "auto"
    limit: ForSeconds = 60.0
    warmup: Warmup = 0
    schedule: ScheduleChoice = None
    seed: Seed = 1
    timeout: TaskTimeout = 300.0
    retries: Retries = 2
    hedge: (
        Annotated[
            float,
            Meta(ge=0.5, lt=1, description="duplicates tasks above this quantile (AWS, simulated), for example 0.95"),
        ]
        | None
    ) = None
    max_usd: (
        Annotated[float, Meta(gt=0, lt=1e6, description="maximum cost of all runs together, in dollars")] | None
    ) = None
    data: Annotated[str | None, Meta(description="a data file; none: what the workload generates")] = None
    encoding: Annotated[
        str | None, Meta(description="text encoding of the data file; none: UTF-8, or by its byte order mark")
    ] = None


# Each of these fields, and the plan's own that it is.
_OF_PLAN = {name: {"limit": "for_s", "timeout": "timeout_s"}.get(name, name) for name in RunSettings.__struct_fields__}
_OF_DATA = ("data", "encoding")  # only where the workload reads a file


class OwnWorkload(msgspec.Struct, frozen=True):
    """What was found at a typed path: a workload, or why it cannot be used."""

    typed: str
    name: str = ""  # for a process in another folder
    description: Description | None = None
    problem: str = ""


def read_own(typed: str) -> OwnWorkload:
    """Read a workload's parameters from its file. Slow: the file is imported, in a process of its own."""
    text = typed.strip()
    if not text:
        return OwnWorkload(typed, problem="name a Python file and the job in it, as in ./mine.py:job; Tab completes it")
    if text in registry.all_names():
        return OwnWorkload(typed, problem=f"{text} is a workload of lbench's own: choose it in the line of workloads")
    try:
        name = registry.absolute(text)
        return OwnWorkload(typed, name, registry.describe(name))
    except LbenchError as error:
        return OwnWorkload(typed, problem=str(error))


class BackendForm(msgspec.Struct):
    """A backend in the form. `settings`: texts by name, with its `label` among them."""

    name: str
    chosen: bool
    settings: dict[str, str]

    @property
    def label(self) -> str:
        return self.settings.get("label", "").strip() or self.name

    @property
    def changed(self) -> str:
        """Settings that differ from the defaults, like "memory 885, arch arm64"."""
        usual = {field.name: text_of(field.default) for field in form_fields(catalog.settings_type(self.name))}
        changes = [f"{name} {self.settings[name]}" for name in usual if self.settings[name] != usual[name]]
        return ", ".join(changes)


def text_of(value: Any) -> str:
    """A value as a person types it; "" for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(text_of(part) for part in value)
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def value_text(field: Field, value: Any) -> str:
    """A field's value as a person types it; JSON where the field takes any."""
    if field.type != "value" or isinstance(value, str | msgspec.UnsetType):
        return text_of(value)
    return msgspec.json.encode(value).decode()


def usual_text(field: Field) -> str:
    """A field's default as a text; "" where a value is required."""
    return "" if field.required else value_text(field, field.default)


def plain_number(text: str) -> str:
    """A number without thousands separators or an exponent: "1,000" and "1e3" are "1000"; other text as it is."""
    grouped = re.fullmatch(r"([+-]?\d{1,3})((?:[,_ ]\d{3})+)(\.\d+)?", text)
    if grouped:
        return re.sub(r"[,_ ]", "", text)
    if re.fullmatch(r"[+-]?\d+(\.\d+)?[eE]\+?\d{1,2}", text):
        value = Decimal(text)
        return str(int(value)) if value == value.to_integral_value() else format(value, "f")
    return text


def range_text(field: Field) -> str:
    """A field's range: "1 to 32,768", "at least 0"."""
    if field.minimum is None:
        return ""
    low = f"{field.minimum:,.15g}"
    return f"at least {low}" if field.maximum is None else f"{low} to {field.maximum:,.15g}"


@functools.cache
def form_fields(form: type[msgspec.Struct]) -> tuple[Field, ...]:
    """The fields of a form in their order; looking into a type takes milliseconds, so it is done once."""
    return tuple(parameters.fields(form))


def _usual_texts(description: Description) -> dict[str, str]:
    """The defaults of a workload's parameters, as texts."""
    return {field.name: usual_text(field) for field in form_fields(description.params)}


def _value_texts(description: Description, values: Mapping[str, Any]) -> dict[str, str]:
    fields = {field.name: field for field in form_fields(description.params)}
    return {
        name: value_text(fields[name], value) if name in fields else text_of(value) for name, value in values.items()
    }


def _named(text: str) -> list[str]:
    """The fields that a message names, in their order: "-p name=", "parameter name", "--force-cold", "handler="."""
    names = re.findall(r"(?:-p |parameter |(?<![\w-])--)([a-z][\w-]*)|\b([a-z]\w*)=|\A(\w+)", text)
    return [next(filter(None, found)).replace("-", "_") for found in names]


def _quoted(text: str, values: Mapping[str, str]) -> str:
    """The field whose value, a file, a message quotes; "" if it quotes none."""
    files = {name: Path(value.removeprefix("@")).name for name, value in values.items() if re.search(r"[./@]", value)}
    return next((name for name, file in files.items() if file and file in text), "")


def _why(error: InputError) -> tuple[str, str]:
    """(field, reason) of an error: "parameter size=0: must be at least 1" -> ("size", "must be at least 1")."""
    head, _, reason = str(error).partition(": ")
    name = re.search(r"(?:^--|\s)(\w+)(?:=.*|\s.*)?$", head.split("=")[0])
    return (name[1] if name else ""), reason or head


class Draft:
    """A plan being edited: texts by field, kept for each workload."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        own = plan.workload not in registry.all_names()
        self.workload = OWN_FILE if own else plan.workload
        self.own = {OWN_FIELD.name: plan.workload if own else ""}
        self._found: OwnWorkload | None = None
        built_in = dict.fromkeys((*registry.names(), FUNCTION, *([] if own else [plan.workload])))
        self.params: dict[str, dict[str, str]] = {
            **{name: _usual_texts(registry.describe(name)) for name in built_in},
            OWN_FILE: {},  # once its file is read
        }
        self._own_values = plan.params if own else {}
        if not own:
            self.params[plan.workload] |= {name: text_of(value) for name, value in plan.params.items()}
        self.run = {name: text_of(getattr(plan, own)) for name, own in _OF_PLAN.items()}
        self.backends: list[BackendForm] = []
        for name in catalog.names():
            choices = [choice for choice in plan.backends if choice.name == name]
            self.backends += [self._backend(name, choice.settings, choice.label, True) for choice in choices]
            if not choices:
                self.backends.append(self._backend(name, {}, name, False))

    def _backend(self, name: str, settings: Mapping[str, Any], label: str, chosen: bool) -> BackendForm:
        texts = {field.name: text_of(field.default) for field in form_fields(catalog.settings_type(name))}
        texts |= {key: text_of(value) for key, value in settings.items()}
        return BackendForm(name, chosen, {"label": label} | texts)

    def another(self, index: int) -> None:
        """Add a second backend of the kind at `index`, below it, with its own label."""
        like = self.backends[index]
        labels = {form.label for form in self.backends}
        label = next(text for number in range(2, 100) if (text := f"{like.name}-{number}") not in labels)
        self.backends.insert(index + 1, BackendForm(like.name, True, like.settings | {"label": label}))

    def without(self, index: int) -> bool:
        """Remove a backend, unless it is the last of its kind. Returns whether it was removed."""
        if sum(form.name == self.backends[index].name for form in self.backends) < 2:
            return False
        del self.backends[index]
        return True

    # -- the own file

    @property
    def unread(self) -> bool:
        """Whether the own file that is named was not read yet."""
        return self.workload == OWN_FILE and (self._found is None or self._found.typed != self.own[OWN_FIELD.name])

    def take_own(self, found: OwnWorkload) -> bool:
        """Take what was found at a path, unless another one was typed meanwhile. Returns whether it was taken.

        Values that were given stay where the workload has such a parameter.
        """
        if found.typed != self.own[OWN_FIELD.name]:
            return False
        if found.description is not None:
            before = None if self._found is None else self._found.description
            usual = {} if before is None else _usual_texts(before)
            given = {name: text for name, text in self.params[OWN_FILE].items() if text != usual.get(name)}
            given = _value_texts(found.description, self._own_values) | given
            self._own_values = {}
            texts = _usual_texts(found.description)
            self.params[OWN_FILE] = texts | {name: text for name, text in given.items() if name in texts}
        self._found = (
            found
            if found.description is not None or self._found is None
            else msgspec.structs.replace(self._found, typed=found.typed, problem=found.problem)
        )
        return True

    # -- what it means

    @property
    def description(self) -> Description | None:
        """The workload's; None: an own file that is not read yet, or cannot be used."""
        if self.workload != OWN_FILE:
            return registry.describe(self.workload)
        return None if self._found is None or self.unread or self._found.problem else self._found.description

    @property
    def takes_data(self) -> bool:
        """Whether the workload reads a file."""
        return self.description is not None and self.description.data is not None

    @property
    def run_names(self) -> list[str]:
        """The fields of a run that the workload has."""
        return [field.name for field in form_fields(RunSettings) if field.name not in _OF_DATA or self.takes_data]

    def errors(self) -> dict[str, str]:
        """Errors by place: "params.size", "run.seed", "backend.2.memory", "backend.2", "backends", "" (elsewhere)."""
        errors: dict[str, str] = {}
        if (description := self.description) is not None:
            self._check("params", description.params, self.params[self.workload], errors)
        else:
            errors[f"own.{OWN_FIELD.name}"] = self._own_problem()
        self._check("run", RunSettings, self._run_texts(), errors)
        for index, form in enumerate(self.backends):
            if form.chosen:
                settings = {name: text for name, text in form.settings.items() if name != "label"}
                self._check(f"backend.{index}", catalog.settings_type(form.name), settings, errors)
        if not any(form.chosen for form in self.backends):
            errors["backends"] = "choose at least one: space"
        for index, form in enumerate(self.backends):
            if form.chosen and not errors:
                try:
                    self._choice(form)
                except InputError as error:
                    errors.setdefault(*self._backend_error(index, str(error)))
        if errors:
            return errors
        try:
            plan = self._made()
        except InputError as error:
            return dict([self._error(error)])
        self._check_labels(errors)
        if errors:
            return errors
        try:
            validate_job(plan)
        except InputError as error:
            errors.update([self._error(error)])
        chosen = [index for index, form in enumerate(self.backends) if form.chosen]
        for index, choice in zip(chosen, plan.backends, strict=True):
            try:
                validate_backend(plan, choice)
            except InputError as error:
                errors.setdefault(*self._backend_error(index, str(error)))
        return errors

    def _backend_error(self, index: int, text: str) -> tuple[str, str]:
        """(place, reason) of an error of one backend: a setting of it, a parameter, else the backend itself."""
        form = self.backends[index]
        text = text.removeprefix(f"{form.label}: ").removeprefix(f"{form.name}: ")
        reason = text.replace("choose one of ", "").removesuffix(" with --region")
        usual = {field.name: text_of(field.default) for field in form_fields(catalog.settings_type(form.name))}
        names = [*_named(text), _quoted(text, form.settings)]
        for name in sorted(names, key=lambda one: form.settings.get(one, "") == usual.get(one, "")):  # what was typed
            if name in usual:
                return f"backend.{index}.{name}", reason
        for name in names:
            if name in self.params[self.workload]:
                return f"params.{name}", reason
        return f"backend.{index}", reason

    def _check_labels(self, errors: dict[str, str]) -> None:
        seen: set[str] = set()
        for index, form in enumerate(self.backends):
            if not form.chosen:
                continue
            if not re.fullmatch(r"[\w.+-]{1,32}", form.label):
                errors[f"backend.{index}.label"] = "up to 32 letters, digits and . _ + -"
            elif form.label in seen:
                errors[f"backend.{index}.label"] = "another backend has this label"
            seen.add(form.label)

    def _check(self, place: str, form: type[msgspec.Struct], texts: dict[str, str], errors: dict[str, str]) -> None:
        """Check all fields together; if that fails, each by itself, so that each has its own message."""
        given = self._given(form, texts)
        try:
            parameters.parse(form, given, what="it")
        except InputError as error:
            before = len(errors)
            for name, value in given.items():
                try:
                    parameters.parse(form, {name: value}, what="it")
                except InputError as own:
                    if _why(own)[0] == name:
                        errors[f"{place}.{name}"] = _why(own)[1]
            if len(errors) == before:
                name, reason = _why(error)
                errors[f"{place}.{name}" if name in texts else ""] = reason

    @staticmethod
    def _typed(form: type[msgspec.Struct], name: str, text: str) -> Any:
        field = next(field for field in form_fields(form) if field.name == name)
        text = text.strip()
        if field.type in ("int", "float"):
            text = plain_number(text)
        return None if field.optional and not text else text

    def _given(self, form: type[msgspec.Struct], texts: dict[str, str]) -> dict[str, Any]:
        """The texts as values; a required field that is empty is not given."""
        required = {field.name for field in form_fields(form) if field.required}
        return {
            name: self._typed(form, name, text) for name, text in texts.items() if text.strip() or name not in required
        }

    def _error(self, error: InputError) -> tuple[str, str]:
        """(place, reason) of an error of the workload or of the runs; the place is "" if the form has no such field."""
        text, params = str(error), self.params[self.workload]
        for name in (_why(error)[0], *_named(text), _quoted(text, params)):
            if name in params or name in self.run:
                own = name.replace("_", "[-_]")
                reason = re.sub(rf"\A(?:parameter |--){own}(?:=[^:]*)?(?:: | )", "", text).replace(f"--{name} ", "")
                return f"{'params' if name in params else 'run'}.{name}", reason
        return "", text

    def _run_texts(self) -> dict[str, str]:
        return {name: text for name, text in self.run.items() if name in self.run_names}

    def plan(self) -> Plan:
        """What was chosen.

        Raises:
            InputError: the plan is invalid; `errors` gives the places.
        """
        plan = self._made()
        validate(plan)
        if self.workload != OWN_FILE or self._found is None:
            return plan
        return msgspec.structs.replace(
            plan, workload=self._found.name
        )  # not its copy: it can be repeated after an edit

    def _own_problem(self) -> str:
        return "it is being read" if self._found is None or self.unread else self._found.problem

    def _made(self) -> Plan:
        """The plan; an own workload is named by its copy, which is described without reading its file again."""
        description = self.description
        if description is None:
            raise InputError(self._own_problem())
        texts = self.params[self.workload]
        given = self._given(description.params, texts)
        run = parameters.parse(
            RunSettings, {name: self._typed(RunSettings, name, text) for name, text in self._run_texts().items()}
        )
        # With the run's own in: some checks look at both.
        params = parameters.parse(description.params, given, tasks=run.tasks, seed=run.seed)
        usual = _usual_texts(description)
        values = parameters.settable(params)
        written = _value_texts(description, values)
        plan = msgspec.structs.replace(
            self._plan,
            workload=description.pinned,
            params={name: value for name, value in values.items() if written[name] != usual[name]},
            backends=[self._choice(form) for form in self.backends if form.chosen],
            **{own: getattr(run, name) for name, own in _OF_PLAN.items()}
            | {"data": None if run.data is None else str(typed_path(run.data).absolute())},
        )
        if self.workload == FUNCTION:  # options that the form does not show, of the comparison that it began with
            plan = with_payload(msgspec.structs.replace(plan, batch=None, cold_repeats=0, audit=False), None)
        return with_each(plan, ())

    def _choice(self, form: BackendForm) -> BackendChoice:
        kind = catalog.settings_type(form.name)
        texts = {name: self._typed(kind, name, text) for name, text in form.settings.items() if name != "label"}
        return backend_choice(form.name, form.label, texts)
