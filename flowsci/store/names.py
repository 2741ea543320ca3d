"""Names of files by where they lie."""

import os
from collections.abc import Iterable
from pathlib import Path


def below_shared_folder(files: Iterable[Path | str]) -> tuple[Path, list[Path]]:
    """Give the folder that all files share, and their paths below it."""
    paths = [Path(file).absolute() for file in files]
    if not paths:
        return Path(), []
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    return folder, [path.relative_to(folder) for path in paths]
