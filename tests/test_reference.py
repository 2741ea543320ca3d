"""What is generated from the settings is what lies in the project."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from flowsci import reference
from flowsci.settings_files import read_yaml

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("path", reference.files(), ids=str)
def test_generated_files_are_fresh(path):
    assert (ROOT / path).read_text() == reference.files()[path], (
        "refresh with `python -m flowsci.reference`"
    )


def closed(schema):
    """Give every object in a schema that does not say which keys it takes."""
    if isinstance(schema, dict):
        if schema.get("type") == "object" and "additionalProperties" not in schema:
            yield schema
        for part in schema.values():
            yield from closed(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from closed(part)


@pytest.mark.parametrize("path", sorted((ROOT / "workflow/schemas").rglob("*.json")), ids=str)
def test_schemas_are_closed_and_hold_for_the_projects_files(path):
    schema = yaml.safe_load(path.read_text())
    assert list(closed(schema)) == []
    kind, name = path.parent.name, path.name.split(".")[0]
    files = [ROOT / "config/config.yaml"]
    if kind in ("data", "runs"):
        files = sorted((ROOT / "config" / kind / name).glob("*.yaml"))
    assert files
    for file in files:
        jsonschema.validate(read_yaml(file), schema)


def test_every_setting_is_explained():
    page = reference.files()[Path("config/README.md")]
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    unexplained = [row for row in rows if row.split(" | ")[-1].strip(" |") == ""]
    assert unexplained == []
