"""One foreign definition on its way to being a job: what is set of it, and what is said of it.

Promises that what nobody set is not there, so that a file shows what matters.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct, structs

from scheduler_svc.domain.imports.finding import Finding, Severity, Unfit, worst
from scheduler_svc.domain.jobs import Definition
from scheduler_svc.domain.schedule import Schedule

Json = Any


class Options(Struct, frozen=True, kw_only=True):
    """What a person says beside the definitions."""

    now: datetime
    target: str | None = None
    """The address of jobs that bring none, `{name}` standing for the job's."""
    timezone: str | None = None
    """The zone of the host that ran them, where they do not say."""
    suspended: bool = False
    """Write also what is switched off there."""
    system: bool = False
    """A crontab with a user in each line."""


class Draft:
    """One definition: `spec` is what PUT takes, None where it can not be or must not be written."""

    def __init__(self, source: str, wanted: str, options: Options) -> None:
        self.source = source
        self.wanted = wanted
        self.options = options
        self.spec: dict[str, Json] = {"schedule": {}, "target": {}}
        self.findings: list[Finding] = []
        self.left_out = False

    @property
    def schedule(self) -> dict[str, Json]:
        return _part(self.spec, "schedule")

    @property
    def target(self) -> dict[str, Json]:
        return _part(self.spec, "target")

    @property
    def name(self) -> str | None:
        found = self.spec.get("name")
        return found if isinstance(found, str) else None

    @property
    def severity(self) -> Severity:
        return worst(self.findings)

    @property
    def written(self) -> bool:
        """Tell whether it goes into the file."""
        return not self.left_out and self.severity != "not_importable"

    def same(self, code: str, detail: str, at: datetime | None = None) -> None:
        self._say(code, "same", detail, at)

    def differs(self, code: str, detail: str, at: datetime | None = None) -> None:
        self._say(code, "differs", detail, at)

    def decide(self, code: str, detail: str, at: datetime | None = None) -> None:
        self._say(code, "decision", detail, at)

    def leave_out(self, code: str, detail: str) -> None:
        """Say that a person has to decide before it is written at all."""
        self.left_out = True
        self.decide(code, detail)

    def switched_off(self, how: str) -> None:
        """Leave out what is switched off there, unless it is asked for: here it would run."""
        if self.options.suspended:
            self.decide("suspended", f"{how} there and would run here once applied: pause it")
        else:
            self.leave_out("suspended", f"{how} there: --suspended writes it all the same")

    def policy(self, **parts: Json) -> None:
        """Set parts of the definition beside schedule and target."""
        self.spec.update(parts)

    def ordered(self) -> dict[str, Json]:
        """Return the definition with its fields in the order of the documentation."""
        schedule = _sorted(self.schedule, Schedule)
        return _sorted({**self.spec, "schedule": schedule}, Definition)

    def _say(self, code: str, severity: Severity, detail: str, at: datetime | None) -> None:
        self.findings.append(Finding(code, severity, detail, at))


def _part(spec: dict[str, Json], name: str) -> dict[str, Json]:
    found: dict[str, Json] = spec[name]
    return found


def _sorted(found: dict[str, Json], like: type[Struct]) -> dict[str, Json]:
    order = [one.encode_name for one in structs.fields(like)]
    return dict(sorted(found.items(), key=lambda pair: order.index(pair[0])))


def drafted(draft: Draft, steps: Iterable[Callable[[], None]]) -> Draft:
    """Take the steps until one finds that it cannot be a job, and keep that finding."""
    try:
        for step in steps:
            step()
    except Unfit as unfit:
        draft.findings.append(unfit.finding)
    return draft
