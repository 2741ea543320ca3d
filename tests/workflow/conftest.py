"""A small project of made-up flights, and Snakemake as a user calls it."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DATA = {
    "domain": "trajectories",
    "title": "Made-up circles",
    "licence": "none",
    "citation": "none",
    "source": {"kind": "path", "path": "circles.json"},
    "tracks": {
        "kind": "adsb",
        "origin_longitude_degrees": 2.0,
        "origin_latitude_degrees": 49.0,
    },
    "windows": {"training_stride_seconds": 20, "stride_seconds": 20},
}
RUN = {
    "domain": "trajectories",
    "data": "circles",
    "title": "Circles",
    "network": {"width": 8, "heads": 2, "encoder_layers": 1, "decoder_layers": 1},
    "training": {
        "steps": 4,
        "minutes": 1,
        "batch_size": 4,
        "warm_up_steps": 1,
        "validate_every_steps": 2,
    },
    "sampling": {"samples": 20, "steps": 2},
    "evaluation": {"bootstrap": 100},
}
CONFIG = {
    "runs": ["trajectories/first", "trajectories/second"],
    "resource_classes": {"small": {"threads": 1}, "big": {"threads": 1, "memory_mb": 9000}},
    "resources": dict.fromkeys(("prepare", "train", "sample", "evaluate", "report"), "small"),
}
JOBS = {
    "acquire": 1,
    "prepare_data": 1,
    "train_model": 2,
    "sample_shard": 3,
    "merge_shards": 2,
    "evaluate_samples": 2,
    "report_run": 2,
    "report_page": 1,
    "all": 1,
}
"""What a run of everything takes."""


@dataclass(frozen=True)
class Project:
    """A folder that holds settings and results; the workflow itself comes from the checkout."""

    folder: Path

    def write(self, path: str, content: dict) -> None:
        """Write a settings file."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(yaml.safe_dump(content), encoding="utf-8")

    def write_run(self, name: str, **changes: dict) -> None:
        """Write a run file; `changes` update sections of the usual one."""
        sections = {key: RUN.get(key, {}) | change for key, change in changes.items()}
        self.write(f"config/runs/trajectories/{name}.yaml", RUN | sections)

    def snakemake(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Call Snakemake in the folder, with the workflow's default profile."""
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        return subprocess.run(
            [*command, "--cores", "1", *words],
            cwd=self.folder,
            env=os.environ | {"FLOWSCI_CACHE": str(self.folder / "cache")},
            capture_output=True,
            text=True,
            timeout=600,
        )

    def jobs(self, *words: str) -> dict[str, int]:
        """Count the jobs that a call would run, by rule."""
        done = self.snakemake(*words, "--dry-run", "--quiet", "rules")
        assert done.returncode == 0, done.stderr
        return counts(done.stdout + done.stderr)


def counts(text: str) -> dict[str, int]:
    """Read Snakemake's table of jobs, without its total."""
    table = re.search(r"^job +count\n[- ]+\n(.*?)^total", text, re.DOTALL | re.MULTILINE)
    if table is None:
        assert "Nothing to be done" in text, text
        return {}
    return {name: int(count) for name, count in map(str.split, table[1].splitlines())}


def flights() -> list[dict]:
    """Give 20 aircraft, each on a circle of its own for five minutes."""
    return [
        {
            "icao24": f"{aircraft:06x}",
            "callsign": f"TEST{aircraft}",
            "onground": False,
            "timestamp": 1_600_000_000_000 + 2000 * tick,
            "longitude": 2 + (0.1 + 0.01 * aircraft) * math.cos(aircraft + tick / 100),
            "latitude": 49 + (0.1 + 0.01 * aircraft) * math.sin(aircraft + tick / 100),
            "altitude": 10_000 + 100.0 * aircraft + tick,
        }
        for aircraft in range(20)
        for tick in range(150)
    ]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project in which nothing has been made."""
    return new_project(tmp_path)


def new_project(folder: Path) -> Project:
    """Write the settings and the raw file of a project with two runs of one dataset."""
    project = Project(folder)
    (folder / "circles.json").write_text(json.dumps(flights()), encoding="utf-8")
    project.write("config/config.yaml", CONFIG)
    project.write("config/data/trajectories/circles.yaml", DATA)
    for name, shards in {"first": 2, "second": 1}.items():
        project.write_run(name, sampling={"shards": shards})
    return project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which everything has been made, for real. Leave it as it is."""
    project = new_project(tmp_path_factory.mktemp("finished"))
    done = project.snakemake()
    assert done.returncode == 0, done.stderr
    return project


@pytest.fixture
def copy(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, to change."""
    folder = tmp_path / "copy"
    shutil.copytree(finished.folder, folder)
    return Project(folder)
