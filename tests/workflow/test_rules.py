"""The form of the rules, and what Snakemake's own checks say."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT

FILES = sorted((ROOT / "workflow/rules").glob("*.smk"))
RULES = {
    name: body
    for path in FILES
    for name, body in re.findall(
        r"^rule (\w+):\n((?:    .*\n|\n)+)", path.read_text(encoding="utf-8"), re.MULTILINE
    )
}


def test_all_rules_are_found():
    names = re.findall(r"^rule (\w+):", "".join(path.read_text() for path in FILES), re.MULTILINE)
    assert sorted(RULES) == sorted(names)
    assert len(RULES) == 11


@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_log_benchmark_threads_resources_and_settings(name: str):
    for directive in ("log", "benchmark", "threads", "resources", "params", "conda", "shell"):
        assert re.search(rf"^    {directive}:", RULES[name], re.MULTILINE), directive
    assert "mem_mb=" in RULES[name]
    assert "runtime=" in RULES[name]
    assert ("code_version=" in RULES[name]) == (name != "acquire")


def test_only_training_and_sampling_ask_for_a_gpu():
    assert {name for name, body in RULES.items() if "gpu=" in body} == {
        "train_model",
        "sample_shard",
    }


@pytest.mark.parametrize("path", [ROOT / "Snakefile", *FILES], ids=lambda path: path.name)
def test_retries_and_slow_or_hidden_code_stand_in_no_rule(path: Path):
    assert not re.search(r"^\s+(retries|run|script|group):", path.read_text(), re.MULTILINE)


def test_snakemake_finds_nothing_to_mend():
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_is_formatted():
    command = shutil.which("snakefmt", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("snakefmt is not installed")
    done = subprocess.run(
        [command, "--check", "Snakefile", "workflow"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
