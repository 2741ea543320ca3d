"""`card.md`: a dataset's manifest as a page that a person reads."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def write(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the card that belongs to a manifest."""
    (folder / "card.md").write_text("\n".join(_lines(manifest)) + "\n", encoding="utf-8")


def _lines(manifest: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {manifest['title']}"
    yield ""
    yield f"A {manifest['kind']} of the domain {manifest['domain']}, named `{manifest['name']}`."
    if manifest.get("description"):
        yield from ("", manifest["description"])
    yield from ("", "## Files", "")
    for name, entry in manifest["files"].items():
        about = f": {entry['description']}" if entry.get("description") else ""
        yield f"- `{name}`{about} (sha256 `{entry['sha256'][:16]}…`)"
    yield from _table("Counts", "what", "number", _flat(manifest.get("counts", {})))
    yield from _table("Units", "array", "unit", manifest.get("units", {}))
    yield from ("", "## Source", "")
    for key in ("licence", "citation", "model", "data"):
        if key in manifest:
            yield f"- {key}: {manifest[key]}"
    yield from _table("Provenance", "what", "value", _flat(manifest["provenance"]))


def _table(title: str, left: str, right: str, rows: Mapping[str, Any]) -> Iterator[str]:
    if rows:
        yield from ("", f"## {title}", "", f"| {left} | {right} |", "| --- | --- |")
        for name, value in rows.items():
            yield f"| {_cell(name)} | {_cell(value)} |"


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
