"""Files beside the code that say the same thing twice."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def test_the_citation_is_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["title"], citation["version"]) == (project["name"], project["version"])


def test_hosted_tests_run_every_python_that_the_package_takes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    versions = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    least, above = (part[2:] if part.startswith(">=") else part[1:] for part in project["requires-python"].split(","))
    major, minors = least.split(".")[0], range(int(least.split(".")[1]), int(above.split(".")[1]))
    assert versions == [f"{major}.{minor}" for minor in minors]
