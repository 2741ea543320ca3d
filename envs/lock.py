"""Refresh the pinned versions: `requirements.lock` and the conda environment `flowsci.yaml`.

pip resolves the project with all its extras for this Python in an environment of its own, and
installs nothing; only names and public versions are written, wherever the packages came from.
"""

import json
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements.lock"
ENVIRONMENT = ROOT / "envs" / "flowsci.yaml"
OLDEST_PYTHON = (3, 11)


def normalised(name: str) -> str:
    """Give a package name in the form in which names are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def project() -> dict:
    """Give the project's table of `pyproject.toml`."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def direct_dependencies() -> list[str]:
    """Name what the project itself asks for, without extras."""
    return [normalised(re.match(r"[\w.-]+", entry)[0]) for entry in project()["dependencies"]]


def read_lock() -> dict[str, str]:
    """Give the pinned versions by normalised name."""
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {normalised(name): version for name, version in pins}


def resolve() -> dict[str, str]:
    """Let pip choose a version for every package that the project and its extras need."""
    extras = ",".join(project().get("optional-dependencies", {}))
    with TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        command = [f"{folder}/bin/python", "-m", "pip", "install", "--quiet", "--dry-run"]
        command += ["--report", f"{folder}/report.json", f"{ROOT}[{extras}]"]
        subprocess.run(command, check=True)
        report = json.loads(Path(folder, "report.json").read_text(encoding="utf-8"))
    chosen = [package["metadata"] for package in report["install"]]
    own = normalised(project()["name"])
    pins = {normalised(package["name"]): package["version"] for package in chosen}
    return {name: pins[name].split("+")[0] for name in sorted(pins) if name != own}


def lock_text(pins: dict[str, str]) -> str:
    """Give the content of `requirements.lock`."""
    lines = ["# Written by `make lock`; do not edit by hand."]
    return "\n".join([*lines, *(f"{name}=={version}" for name, version in pins.items())]) + "\n"


def environment_text(pins: dict[str, str]) -> str:
    """Give the conda environment in which every stage runs."""
    wanted = [f"      - {name}=={pins[name]}" for name in direct_dependencies()]
    head = """\
# Written by `make lock`; do not edit by hand. Used with `snakemake --software-deployment-method
# conda`; the commands themselves come from the checkout.
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python={}.{}
  - pip
  - pip:
"""
    return head.format(*OLDEST_PYTHON) + "\n".join(wanted) + "\n"


def main() -> None:
    """Resolve, then write both files."""
    if sys.version_info[:2] != OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        sys.exit(f"Error: pins must hold for Python {oldest} too: run this with Python {oldest}.")
    pins = resolve()
    LOCK.write_text(lock_text(pins), encoding="utf-8")
    ENVIRONMENT.write_text(environment_text(pins), encoding="utf-8")


if __name__ == "__main__":
    main()
