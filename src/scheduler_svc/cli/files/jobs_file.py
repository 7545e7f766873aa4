"""A file of jobs: `version`, `owner`, `defaults`, `jobs`; several files and documents are one.

Promises each job with its defaults laid under it, and the place of whatever a refusal points at. It
does not judge jobs: the service does, and knows more.
"""

import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from scheduler_svc.cli.files.fault import BadFile
from scheduler_svc.cli.files.reading import BYTES_MAX, Lines, documents

VERSION: Final = 1
MEMBERS: Final = ("version", "owner", "defaults", "jobs")
SUFFIXES: Final = (".yaml", ".yml", ".json")
STDIN: Final = "-"


class Given(NamedTuple):
    """One job as a file has it, its defaults laid under it, and where it stands."""

    name: str
    job: dict[str, Any]
    source: "Source"
    at: int


class Source(NamedTuple):
    """A document of a file."""

    path: str
    text: str
    number: int

    def place(self, pointer: str, below: str = "") -> str:
        """Return where a value of the document stands, or what holds it: `jobs.yaml:12`.

        What was laid under a job stands under the defaults: `below` is its place there.
        """
        lines = _lines(self)
        line = lines.get(pointer) or lines.get(f"/defaults{below}" if below else pointer)
        while line is None and pointer:
            pointer = pointer.rpartition("/")[0]
            line = lines.get(pointer)
        return self.path if line is None else f"{self.path}:{line}"


@lru_cache(maxsize=4)
def _lines(source: Source) -> Lines:
    """Read a document anew, for its lines: nobody needs them where nothing is wrong."""
    try:
        found = documents(source.text, source.path, lines=True)
    except BadFile:  # JSON that is no YAML
        return {}
    return found[source.number].lines if source.number < len(found) else {}


class JobsFile(NamedTuple):
    """All that the files say."""

    owner: str | None
    jobs: list[Given]


def load(paths: Sequence[str], owner: str | None = None) -> JobsFile:
    """Read files, and folders of them; raise BadFile."""
    jobs: list[Given] = []
    known: dict[str, Given] = {}
    for source, value in _sources(paths):
        said = _owner(source, value)
        if said is not None and owner not in {None, said}:
            raise BadFile(
                source.place("/owner"), f"the owner is {said!r} here, elsewhere {owner!r}"
            )
        owner = owner or said
        for given in _jobs(source, value):
            other = known.setdefault(given.name, given)
            if other is not given:
                there = other.source.place(f"/jobs/{other.at}")
                here = source.place(f"/jobs/{given.at}")
                raise BadFile(here, f"the job {given.name!r} stands at {there} too")
            jobs.append(given)
    return JobsFile(owner, jobs)


def _sources(paths: Sequence[str]) -> Iterator[tuple[Source, dict[str, Any]]]:
    for path in _files(paths):
        text = _read(path)
        name = "standard input" if path == STDIN else path
        for number, document in enumerate(documents(text, name)):
            source = Source(name, text, number)
            _check(source, document.value)
            yield source, document.value


def _files(paths: Sequence[str]) -> Iterator[str]:
    """Name the files: of a folder those in it that look like files of jobs, by name."""
    for path in paths:
        if path == STDIN or not Path(path).is_dir():
            yield path
            continue
        found = sorted(str(one) for one in Path(path).iterdir() if one.suffix in SUFFIXES)
        if not found:
            raise BadFile(path, f"there is no file here that ends with {', '.join(SUFFIXES)}")
        yield from found


def _read(path: str) -> str:
    try:
        if path == STDIN:
            raw = sys.stdin.buffer.read(BYTES_MAX + 1)
        else:
            with Path(path).open("rb") as opened:
                raw = opened.read(BYTES_MAX + 1)
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise BadFile(path, error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise BadFile(path, "is not valid UTF-8") from None


def _check(source: Source, value: Any) -> None:
    if not isinstance(value, dict):
        raise BadFile(source.place(""), f"must be a mapping with {', '.join(MEMBERS)}")
    for name in value:
        if name not in MEMBERS:
            near = get_close_matches(name, MEMBERS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            why = f"there is no {name!r} in a file of jobs, only {', '.join(MEMBERS)}{hint}"
            raise BadFile(source.place(f"/{_escaped(name)}"), why)
    if "version" not in value:
        raise BadFile(source.place(""), f"must say 'version: {VERSION}'")
    if value["version"] != VERSION or isinstance(value["version"], bool):
        why = f"the version is {value['version']!r}; this program reads version {VERSION}"
        raise BadFile(source.place("/version"), why)
    if not isinstance(value.get("defaults", {}), dict):
        raise BadFile(source.place("/defaults"), "must be a mapping: a part of a job")


def _owner(source: Source, value: dict[str, Any]) -> str | None:
    owner = value.get("owner")
    if owner is not None and not isinstance(owner, str):
        raise BadFile(source.place("/owner"), "must be a text; put it in quotes")
    return owner


def _jobs(source: Source, value: dict[str, Any]) -> Iterator[Given]:
    jobs = value.get("jobs")
    if not isinstance(jobs, list):
        raise BadFile(source.place("/jobs"), "'jobs' must be a list; [] where there are none")
    defaults = value.get("defaults", {})
    if "name" in defaults:
        raise BadFile(source.place("/defaults/name"), "a name is one job's own")
    for index, job in enumerate(jobs):
        here = f"/jobs/{index}"
        if not isinstance(job, dict):
            raise BadFile(source.place(here), "a job must be a mapping")
        name = job.get("name")
        if not isinstance(name, str):
            why = "a job needs a name" if name is None else "must be a text; put it in quotes"
            raise BadFile(source.place(f"{here}/name"), why)
        yield Given(name, laid_over(defaults, job), source, index)


def laid_over(under: dict[str, Any], over: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Lay a job over defaults (RFC 7396): null takes away, a list or a body is one value."""
    made = dict(under)
    for name, value in over.items():
        here = f"{path}/{name}"
        old = made.get(name)
        if value is None and name in made:
            del made[name]
        elif isinstance(value, dict) and isinstance(old, dict) and here != "/target/body":
            made[name] = laid_over(old, value, here)
        else:
            made[name] = value
    return made


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
