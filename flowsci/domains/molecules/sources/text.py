"""Text files, compressed or not."""

import bz2
import csv
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from flowsci.errors import FlowsciError

OPENERS = {".gz": gzip.open, ".bz2": bz2.open}


def kind_of(path: Path) -> str:
    """Give the ending of a file, without that of its compression."""
    endings = [ending.lower() for ending in path.suffixes if ending.lower() not in OPENERS]
    return endings[-1] if endings else ""


def stem(path: Path) -> str:
    """Give the name of a file without folder and endings."""
    return path.name.split(".")[0]


def beginning(path: Path, size: int = 4096) -> bytes:
    """Give the first bytes of a file, unpacked; raise `FlowsciError` where it is empty."""
    opener = OPENERS.get(path.suffix.lower(), open)
    with _readable(path), opener(path, "rb") as stream:
        start = stream.read(size)
    if not start.strip():
        raise FlowsciError(f"{path}: is empty; leave it out, or give the whole file.")
    return start


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """Open a text file; raise `FlowsciError` where it is damaged or no UTF-8."""
    opener = OPENERS.get(path.suffix.lower(), open)
    with _readable(path), opener(path, "rt", encoding="utf-8-sig", newline="") as stream:
        yield stream


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeDecodeError, EOFError, zlib.error, csv.Error) as error:
        raise FlowsciError(
            f"{path}: cannot be read: {error}. Give the whole file, with its text in UTF-8."
        ) from None
