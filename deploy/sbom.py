"""Write the bill of materials of a lock as CycloneDX 1.6: python deploy/sbom.py LOCK OUTPUT

Promises the same bytes for the same lock and the same installed packages, and that nothing is asked
of anybody: versions and digests are the lock's, licences those that the packages here declare. What
only builds the wheel, and is taken out of the image again, has the scope `excluded`.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^\s;]+)(?: ; ([^\\\n]*))?", re.MULTILINE)
Json = dict[str, Any]


def pins(lock: str) -> Iterator[tuple[str, str, str, list[str]]]:
    """Give each pin: name, version, the marker under which it counts, and its digests."""
    for entry in re.split(r"\n(?=\S)", lock.strip()):
        if (found := PIN.match(entry)) is not None:
            digests = re.findall(r"--hash=sha256:([0-9a-f]{64})", entry)
            yield found[1], found[2], (found[3] or "").strip(), sorted(digests)


def licences(name: str) -> list[Json]:
    """Return what a package declares, in the form of CycloneDX; nothing where it is not here."""
    try:
        told = metadata(name)
    except PackageNotFoundError:
        return []
    if expressions := told.get_all("License-Expression"):
        return [{"expression": expressions[0]}]
    named = [
        classifier.rpartition(" :: ")[2]
        for classifier in told.get_all("Classifier") or ()
        if classifier.startswith("License :: OSI Approved :: ")
    ]
    named = named or [text for text in told.get_all("License") or () if text and "\n" not in text]
    return [{"license": {"name": one}} for one in named]


def needed(project: Json) -> set[str]:
    """Return the names of all that the project needs to run, by what the packages here ask for."""
    found: set[str] = set()
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras["embedded"], *extras["tracing"]]
    while asked:
        requirement = Requirement(asked.pop())
        name = requirement.name.lower().replace("_", "-")
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        try:
            asked += metadata(name).get_all("Requires-Dist") or []
        except PackageNotFoundError:
            continue
    return found


def document(lock: str, project: Json) -> Json:
    """Make the document."""
    running = needed(project)
    components = []
    for name, version, marker, digests in pins(lock):
        component: Json = {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name}@{version}",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
            "scope": "required" if name in running else "excluded",
            "hashes": [{"alg": "SHA-256", "content": digest} for digest in digests],
        }
        if declared := licences(name):
            component["licenses"] = declared
        if marker:
            component["properties"] = [{"name": "python:marker", "value": marker}]
        components.append(component)
    own = f"pkg:pypi/{project['name']}@{project['version']}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_OID, own + lock)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": project["name"],
                "version": project["version"],
                "purl": own,
                "licenses": [{"expression": project["license"]}],
            }
        },
        "components": components,
        "dependencies": [{"ref": own, "dependsOn": [one["bom-ref"] for one in components]}],
    }


def main(lock: str, output: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    made = document((ROOT / "requirements" / f"{lock}.txt").read_text(), project)
    Path(output).write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
