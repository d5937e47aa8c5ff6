"""Software bill of materials of what is installed here, as CycloneDX 1.5 JSON; asks the packages themselves.

`make sbom` makes one of what is locked. This one is of the environment that runs.
"""

import uuid
from datetime import datetime
from importlib.metadata import Distribution, distributions, version
from typing import Any, Final

SPECIFICATION: Final = "http://cyclonedx.org/schema/bom-1.5.schema.json"
OURS: Final = "tryon-images"
LONGEST_NAME: Final = 100
"""Some packages put the whole text of their license where its name belongs."""


def sbom(made_at: datetime) -> dict[str, Any]:
    """Every installed package once, by its name."""
    found = {_name(each): each for each in distributions() if each.metadata["Name"]}
    return {
        "$schema": SPECIFICATION,
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": uuid.uuid4().urn,
        "version": 1,
        "metadata": {
            "timestamp": made_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {"type": "application", "bom-ref": OURS, "name": OURS, "version": version(OURS)},
        },
        "components": [_component(name, found[name]) for name in sorted(found) if name != OURS],
    }


def _name(package: Distribution) -> str:
    """As in package URLs: small letters, no underscores."""
    return package.metadata["Name"].lower().replace("_", "-").replace(".", "-")


def _component(name: str, package: Distribution) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{package.version}"
    component = {"type": "library", "bom-ref": purl, "name": name, "version": package.version, "purl": purl}
    return component | _licenses(package)


def _licenses(package: Distribution) -> dict[str, Any]:
    if expressions := _said(package, "License-Expression"):
        return {"licenses": [{"expression": expressions[0]}]}
    classes = [each.rpartition(" :: ")[2] for each in _said(package, "Classifier") if each.startswith("License ::")]
    names = classes or [text for text in _said(package, "License") if len(text) <= LONGEST_NAME and "\n" not in text]
    return {"licenses": [{"license": {"name": name}} for name in names]} if names else {}


def _said(package: Distribution, field: str) -> list[str]:
    return [str(value) for value in package.metadata.get_all(field, []) if value]
