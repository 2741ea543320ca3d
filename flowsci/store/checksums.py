"""Checksums of files and folders."""

import hashlib
from pathlib import Path


def of_file(path: Path) -> str:
    """Give the SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def of_folder(folder: Path) -> str:
    """Give one SHA-256 of names and contents of all files below a folder, in sorted order."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{of_file(path)}\n".encode())
    return digest.hexdigest()


def of_tree(folder: Path) -> dict[str, str]:
    """Give the checksum of each file and each sub-folder that stands directly in a folder."""
    return {
        path.name: of_folder(path) if path.is_dir() else of_file(path)
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
    }
