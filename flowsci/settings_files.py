"""Settings files: read safely, laid over one another, and every mistake explained.

A mistake is reported with file, key and what is allowed.
"""

import difflib
import re
import types
import typing
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, Tag, ValidationError, create_model

from flowsci.errors import FlowsciError
from flowsci.settings import Section

Settings = TypeVar("Settings", bound=BaseModel)


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                line = node.value[index][0].start_mark.line + 1
                raise yaml.constructor.ConstructorError(
                    problem=f"the key '{key}' is given twice, the second time in line {line}"
                )
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping safely, laid over the file beside it that its key `extends` names.

    Raises `FlowsciError` where a file is missing or malformed, or extends itself.
    """
    content = _read_yaml(path)
    files = [path]
    while (base := content.pop("extends", None)) is not None:
        if not isinstance(base, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", base):
            raise FlowsciError(
                f"{files[-1]}: extends: expected the name of a file beside it, without '.yaml'; it "
                f"is {base!r}."
            )
        if (parent := path.with_name(f"{base}.yaml")) in files:
            raise FlowsciError(f"{files[-1]}: extends: '{base}' leads back to {parent}.")
        if not parent.is_file():
            raise FlowsciError(f"{files[-1]}: extends: there is no file {parent}.")
        files.append(parent)
        content = overlaid(_read_yaml(parent), content)
    return content


def overlaid(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Lay `changes` over `base`, section by section; a section of another `kind` replaces all."""
    result = dict(base)
    for key, value in changes.items():
        old = base.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        if both and value.get("kind", old.get("kind")) == old.get("kind"):
            value = overlaid(old, value)
        result[key] = value
    return result


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = _UniqueKeyLoader(path.read_text(encoding="utf-8")).get_single_data()
    except FileNotFoundError:
        raise FlowsciError(f"{path}: there is no such file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FlowsciError(f"{path}: cannot be read: {error}.") from None
    except yaml.YAMLError as error:
        raise FlowsciError(f"{path}: is not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(content, dict):
        raise FlowsciError(f"{path}: expected keys and values, found {type(content).__name__}.")
    return content


def read_settings(path: Path, model: type[Settings]) -> Settings:
    """Read a settings file; raise `FlowsciError` naming file, key and what is allowed."""
    return check_settings(read_yaml(path), model, str(path))


def check_section(content: Any, model: type[BaseModel], name: str, origin: str) -> Any:
    """Check values of one section of a settings model, which came from `origin`."""
    field = model.model_fields[name]
    only: Any = create_model("Section", __base__=Section, **{name: (field.annotation, field)})
    return getattr(check_settings({name: content}, only, origin), name)


def check_settings(content: Any, model: type[Settings], origin: str) -> Settings:
    """Check values that came from `origin`, a file or a command line."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [_explain(fault, model) for fault in error.errors()]
        raise FlowsciError("\n".join(f"{origin}: {line}" for line in lines)) from None


def _explain(fault: Any, model: type[BaseModel]) -> str:
    location = [str(part) for part in fault["loc"]]
    key, section = _written(model, location), _sections_at(model, location[:-1])[0]
    fields = {name: field for c in section for name, field in c.model_fields.items()}
    if fault["type"] == "extra_forbidden":
        allowed = sorted(fields)
        close = difflib.get_close_matches(location[-1], allowed, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        return f"{key}: unknown key.{hint} Allowed here: {', '.join(allowed)}."
    if fault["type"] == "missing":
        field = fields.get(location[-1])
        meaning = f" {field.description}" if field is not None and field.description else ""
        return f"{key}: this key is required and is missing.{meaning}"
    problem = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return f"{key}: {problem}." if key else f"{problem}."
    return f"{key}: {problem}; it is {fault['input']!r}."


def _written(model: type[BaseModel], location: list[str]) -> str:
    """Give a location as a file has it, without the kinds of sections that were tried."""
    kinds = _sections_at(model, location)[1]
    return ".".join(part for place, part in enumerate(location) if place not in kinds)


def _sections_at(
    model: type[BaseModel], location: list[str]
) -> tuple[list[type[BaseModel]], set[int]]:
    """Find the sections at `location`, and where it names the kind of a section, not a key."""
    candidates: list[Any] = [model]
    tags: set[str] = set()
    kinds = set()
    for place, part in enumerate(location):
        fields = [c.model_fields[part] for c in candidates if part in c.model_fields]
        if fields:
            candidates = [found for field in fields for found in _models_in(field.annotation)]
            tags = {tag for field in fields for tag in _tags_in(field.annotation)}
        elif part in tags or part in map(_kind, candidates):
            candidates = [c for c in candidates if _kind(c) == part] or candidates
            kinds.add(place)
    return candidates, kinds


def _kind(model: type[BaseModel]) -> str | None:
    kind = model.model_fields.get("kind")
    return kind.default if kind is not None else None


def _tags_in(annotation: Any) -> list[str]:
    """Give the names by which the members of a union are told apart, where they have no `kind`."""
    own = [part.tag for part in typing.get_args(annotation) if isinstance(part, Tag)]
    return own + [tag for part in typing.get_args(annotation) for tag in _tags_in(part)]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, Annotated, list, dict, tuple):
        return [model for part in typing.get_args(annotation) for model in _models_in(part)]
    return []
