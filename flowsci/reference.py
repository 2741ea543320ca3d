"""The settings as JSON Schema and as a page: written from the typed settings, never by hand.

`python -m flowsci.reference` refreshes `workflow/schemas/` and `config/README.md`; a test holds
them equal to the settings.
"""

import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from flowsci.domains import domain_names, find_domain
from flowsci.settings import WorkflowSettings

INTRODUCTION = """\
# Settings

Written from the typed settings by `python -m flowsci.reference`; do not edit by hand.

- `config/config.yaml` says which runs to make, where results go and what a job may use.
- `config/data/<domain>/<data>.yaml` describes one prepared dataset.
- `config/runs/<domain>/<run>.yaml` describes one run: network, flow, training, sampling and
  evaluation. A stage reads only its own sections (training: `network`, `flow`, `training`;
  sampling: `sampling`; evaluation: `evaluation`), so a change re-makes that stage and what follows.

A file may begin with `extends: <name>` of a file beside it and say only what differs; a section
that names another `kind` replaces the whole section.

Every level is closed: an unknown key stops before any job. Quantities carry their unit in their
name. A key without a default is required. To change a value for one call, overlay a file with
`snakemake --configfile my.yaml`; values given with `--config` arrive as text."""


def files() -> dict[Path, str]:
    """Give the content of every generated file by its path below the project's root."""
    schemas = Path("workflow/schemas")
    contents = {schemas / "config.schema.json": _schema(WorkflowSettings)}
    for name in domain_names():
        domain = find_domain(name)
        contents[schemas / "data" / f"{name}.schema.json"] = _schema(domain.data_settings)
        contents[schemas / "runs" / f"{name}.schema.json"] = _schema(domain.run_settings)
    contents[Path("config/README.md")] = "\n".join(_page()) + "\n"
    return contents


def write(root: Path) -> None:
    """Refresh the generated files below the project's root."""
    for path, content in files().items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")


def _schema(model: type[BaseModel]) -> str:
    schema = _closed(model.model_json_schema())
    version = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(version | schema, indent=2, ensure_ascii=False) + "\n"


def _closed(schema: Any) -> Any:
    """Refuse names that do not fit the pattern of a mapping's names, as the settings do."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closing = {"additionalProperties": False} if "patternProperties" in schema else {}
    return {name: _closed(part) for name, part in schema.items()} | closing


def _page() -> Iterator[str]:
    yield INTRODUCTION
    yield from ("", "## config/config.yaml")
    yield from _section(WorkflowSettings, "")
    for name in domain_names():
        domain = find_domain(name)
        yield from ("", f"## {name}: config/data/{name}/<data>.yaml")
        yield from _section(domain.data_settings, "")
        yield from ("", f"## {name}: config/runs/{name}/<run>.yaml")
        yield from _section(domain.run_settings, "")


def _section(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """Give the table of a section, then those of the sections in it."""
    if prefix:
        yield from ("", f"### {prefix}", "", _summary(model))
    yield from ("", "| key | allowed | default | meaning |", "| --- | --- | --- | --- |")
    for name, field in model.model_fields.items():
        yield f"| `{name}` | {_allowed(field)} | {_default(field)} | {_meaning(field)} |"
    for name, field in model.model_fields.items():
        inner = _models(field.annotation)
        for part in inner:
            label = f"{prefix}.{name}" if prefix else name
            kind = part.model_fields.get("kind")
            several = len(inner) > 1 and kind is not None
            yield from _section(part, f"{label} ({kind.default})" if several else label)


def _meaning(field: FieldInfo) -> str:
    """Give what a key says; a section and a fixed word say it themselves."""
    if field.description:
        return field.description
    if typing.get_origin(field.annotation) is Literal:
        return "Says what this is."
    return " ".join(_summary(part) for part in _models(field.annotation))


def _summary(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").strip().partition("\n\n")[0].split())


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel) or value is PydanticUndefined:
        return "see below"
    return f"`{json.dumps(value, default=str)}`"


def _allowed(field: FieldInfo) -> str:
    limits = [text for part in field.metadata if (text := _limit(part))]
    return ", ".join([_type(field.annotation), *limits]).replace("|", "or")


def _limit(constraint: Any) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "min_length": "at least", "pattern": ""}
    values = ((sign, getattr(constraint, name, None)) for name, sign in signs.items())
    return ", ".join(f"{sign} {value}".strip() for sign, value in values if value is not None)


def _type(annotation: Any) -> str:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _type(parts[0])
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(part) for part in parts))
    if origin in (list, tuple):
        return f"list of {_type(parts[0])}"
    if origin is dict:
        return f"mapping of {_type(parts[0])} to {_type(parts[1])}"
    if annotation is type(None):
        return "nothing"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    names = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
    return names.get(annotation.__name__, annotation.__name__.lower())


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models(part)]


if __name__ == "__main__":
    write(Path(__file__).parent.parent)
