"""The command: quick help, no traceback, exit statuses."""

import os
import resource
import subprocess
import sys

import pytest

COMMANDS = ["acquire", "prepare", "train", "sample", "merge", "evaluate", "report", "doctor"]


def flowsci(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "flowsci", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def processor_seconds():
    """Seconds of a processor that ended child processes took: others may share it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_names_every_command_and_imports_nothing_heavy():
    seconds = []
    for _ in range(3):
        started = processor_seconds()
        done = flowsci("--help")
        seconds.append(processor_seconds() - started)
    assert done.returncode == 0
    assert all(command in done.stdout for command in COMMANDS)
    assert min(seconds) < 0.5
    heavy = "{'torch', 'xarray', 'pandas', 'numpy'}"
    code = f"import sys, flowsci.cli; print({heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command):
    done = flowsci(command, "--help", env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0
    assert "Usage" in done.stdout
    options = [line for line in done.stdout.splitlines() if line.lstrip("│ ").startswith("--")]
    assert options
    assert all(len(line.strip("│ ").split("  ")) > 1 for line in options)


def test_a_mistake_is_one_message_and_exit_2(tmp_path):
    path = tmp_path / "runs" / "trajectories" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("domain: trajectories\nsteps: 3\n")
    done = flowsci("train", str(path))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith(f"Error: {path}: ")
    assert "steps: unknown key" in done.stderr


def test_a_missing_file_is_exit_2():
    done = flowsci("prepare", "none.yaml")
    assert done.returncode == 2
    assert done.stderr == "Error: none.yaml: there is no such file.\n"


def test_doctor_says_what_there_is():
    done = flowsci("doctor")
    assert done.returncode == 0
    for line in ("cores", "memory", "devices", "cache", "packages", "extra slurm"):
        assert any(found.startswith(line) for found in done.stdout.splitlines())
