"""The systems that are read: for each its name, what a file of it is, and who reads it."""

from collections.abc import Callable
from pathlib import PurePath
from typing import Any, Final, NamedTuple

from msgspec import structs

from scheduler_svc.cli.imports.documents import read_json, read_literal, read_yaml
from scheduler_svc.domain.imports import (
    apscheduler,
    cloud_scheduler,
    crontab,
    dkron,
    eventbridge,
    kubernetes,
)
from scheduler_svc.domain.imports.draft import Draft, Options

Read = Callable[[str, str, Options, set[str]], list[Draft]]
"""Takes the text of a file, what the file is called, the options, and names that are taken."""
Reader = Callable[[Any, str, Options, set[str]], list[Draft]]


class Dialect(NamedTuple):
    """One system."""

    summary: str
    read: Read


def _crontab(text: str, path: str, options: Options, taken: set[str]) -> list[Draft]:
    parts = PurePath(path).parts
    system = options.system or parts[-2:] == ("etc", "crontab") or "cron.d" in parts
    return crontab.read(text, path, structs.replace(options, system=system), taken)


def _yaml(reader: Reader) -> Read:
    def read(text: str, path: str, options: Options, taken: set[str]) -> list[Draft]:
        found = enumerate(read_yaml(text, path))
        return [draft for _, one in found for draft in reader(one, path, options, taken)]

    return read


def _json(reader: Reader) -> Read:
    def read(text: str, path: str, options: Options, taken: set[str]) -> list[Draft]:
        return reader(read_json(text, path), path, options, taken)

    return read


def _literal(reader: Reader) -> Read:
    def read(text: str, path: str, options: Options, taken: set[str]) -> list[Draft]:
        return reader(read_literal(text, path), path, options, taken)

    return read


DIALECTS: Final = {
    "crontab": Dialect("crontab -l, /etc/crontab", _crontab),
    "kubernetes": Dialect("kubectl get cronjobs -A -o yaml", _yaml(kubernetes.read)),
    "cloud-scheduler": Dialect(
        "gcloud scheduler jobs list --format=json", _json(cloud_scheduler.read)
    ),
    "eventbridge": Dialect("aws scheduler get-schedule", _json(eventbridge.read)),
    "dkron": Dialect("GET /v1/jobs", _json(dkron.read)),
    "apscheduler": Dialect("a dump, see docs/importing.md", _literal(apscheduler.read)),
}
