"""The documentation is run: every Python block of every page, in order, in one namespace."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import flowsci.flow

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


def blocks_of(text: str) -> Iterator[tuple[int, str]]:
    """Yield each Python block with the number of lines above its code."""
    for match in FENCE.finditer(text):
        if match[1] == "python":
            yield text.count("\n", 0, match.start(2)), match[2]


def run(page: Path) -> int:
    """Run the blocks of a page in one namespace; a failure points at the line of the page."""
    namespace: dict[str, Any] = {"__name__": "__page__"}
    count = 0
    for above, code in blocks_of(page.read_text(encoding="utf-8")):
        # dataclasses and tracebacks look at the line, so the page's own numbers are kept
        exec(compile("\n" * above + code, str(page), "exec"), namespace)
        count += 1
    return count


def code_of(text: str) -> str:
    """Return what a page sets as code: its Python blocks and the spans between backticks."""
    blocks = [code for _, code in blocks_of(text)]
    return "\n".join(blocks + re.findall(r"`([^`\n]+)`", FENCE.sub("", text)))


def broken_links(page: Path) -> list[str]:
    """Return the relative links of a page that lead to no file, or to no heading of a page."""
    targets = LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return [t for t in targets if "://" not in t and not resolves(page, t)]


def resolves(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    found = (page.parent / path).resolve() if path else page
    if not anchor or found.suffix != ".md" or not found.is_file():
        return found.exists()
    prose = FENCE.sub("", found.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return anchor in [re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings]


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_run(page: Path) -> None:
    assert run(page) > 0, f"{name_of(page)} has no Python block: show the concept, and check it"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_resolve(page: Path) -> None:
    assert broken_links(page) == []


def test_every_public_name_is_documented() -> None:
    code = "\n".join(code_of(page.read_text("utf-8")) for page in (DOCS / "flow").glob("*.md"))
    missing = [name for name in flowsci.flow.__all__ if not re.search(rf"\b{name}\b", code)]
    assert missing == [], "mention these names in a page under docs/flow"


def test_every_concept_is_in_the_index() -> None:
    index = set(LINK.findall((DOCS / "flow" / "README.md").read_text(encoding="utf-8")))
    pages = {page.name for page in (DOCS / "flow").glob("*.md")} - {"README.md"}
    assert pages - index == set()


def test_a_failing_block_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = "# Page\n\n```python\nx = 1\n```\n\n```sh\nfalse\n```\n\n```python\nassert x == 2\n```\n"
    page.write_text(text)
    with pytest.raises(AssertionError) as failure:
        run(page)
    assert failure.traceback[-1].lineno + 1 == 12


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A head: two\n[a](page.md) [b](none.md) [c](#a-head-two) [d](page.md#gone)\n")
    assert broken_links(page) == ["none.md", "page.md#gone"]
