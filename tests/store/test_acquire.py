"""Fetching: checksums, mirrors, the cache, and what a user reads when a file cannot be had."""

import hashlib
import zipfile
from pathlib import Path

import pytest

import flowsci
from flowsci.errors import FlowsciError
from flowsci.settings import (
    PathSource,
    SampleSource,
    SimulateSource,
    StoreSource,
    UrlFile,
    UrlSource,
    WheelSource,
)
from flowsci.store.acquire import acquire


def checksum(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def wheel(tmp_path):
    """A wheel that lies in the cache, and the source that describes it."""
    folder = tmp_path / "cache" / "wheels" / "tracks-1.0"
    folder.mkdir(parents=True)
    path = folder / "tracks-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tracks/data.json", '{"rows": 3}')
        archive.writestr("../outside.json", "{}")
    source = WheelSource(
        package="tracks", version="1.0", sha256=checksum(path), members=["tracks/data.json"]
    )
    return source, path, tmp_path / "cache"


def test_a_wheel_in_the_cache_needs_no_network(wheel, monkeypatch):
    source, _, cache = wheel
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (file,) = acquire(source, cache)
    assert file.read_text() == '{"rows": 3}'
    assert acquire(source, cache) == [file]


def test_a_changed_wheel_is_named_with_both_checksums(wheel):
    source, path, cache = wheel
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(FlowsciError) as caught:
        acquire(source, cache)
    message = str(caught.value)
    assert source.sha256 in message
    assert checksum(path) in message
    assert str(path) in message


def test_a_member_cannot_leave_its_folder(wheel):
    source, _, cache = wheel
    source = source.model_copy(update={"members": ["../outside.json"]})
    with pytest.raises(FlowsciError, match="would leave"):
        acquire(source, cache)
    assert not list(cache.rglob("outside.json"))


def test_a_missing_member_is_named(wheel):
    source, _, cache = wheel
    source = source.model_copy(update={"members": ["tracks/other.json"]})
    with pytest.raises(FlowsciError, match=r"no member 'tracks/other\.json'"):
        acquire(source, cache)


def test_without_network_and_cache_the_message_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    source = WheelSource(package="no-such-tracks", version="9", sha256="0" * 64, members=["a"])
    with pytest.raises(FlowsciError) as caught:
        acquire(source, tmp_path)
    message = str(caught.value)
    assert "pip download --no-deps no-such-tracks==9" in message
    assert str(tmp_path / "wheels" / "no-such-tracks-9") in message


def folder_of(path, **files):
    path.mkdir()
    for name, text in files.items():
        (path / f"{name}.csv").write_text(text)
    return path.as_uri()


def described(**files):
    return [
        UrlFile(
            name=f"{name}.csv",
            size_bytes=len(text),
            sha256=hashlib.sha256(text.encode()).hexdigest(),
        )
        for name, text in files.items()
    ]


def test_mirrors_are_tried_in_order_for_each_file(tmp_path):
    gone = folder_of(tmp_path / "gone", a="1,2\n")
    wrong = folder_of(tmp_path / "wrong", a="9,9\n", b="9,9\n")
    right = folder_of(tmp_path / "right", a="1,2\n", b="3,4\n")
    source = UrlSource(mirrors=[gone, wrong, right + "/"], files=described(a="1,2\n", b="3,4\n"))
    first, second = acquire(source, tmp_path / "cache")
    assert (first.name, first.read_text()) == ("a.csv", "1,2\n")
    assert (second.name, second.read_text()) == ("b.csv", "3,4\n")


def test_every_failed_mirror_is_listed_and_nothing_is_left(tmp_path):
    short = folder_of(tmp_path / "short", a="1")
    mirrors = [short, (tmp_path / "gone").as_uri(), "ftp://example.org/x"]
    source = UrlSource(mirrors=mirrors, files=described(a="1,2\n"))
    with pytest.raises(FlowsciError) as caught:
        acquire(source, tmp_path / "cache")
    assert all(f"{mirror}/a.csv" in str(caught.value) for mirror in mirrors)
    assert "sent 1 bytes, expected 4" in str(caught.value)
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_a_file_of_a_mirror_stays_in_its_folder():
    with pytest.raises(ValueError, match="name"):
        UrlFile(name="../a.csv", size_bytes=1, sha256="0" * 64)


def test_a_path_is_a_file_or_all_files_of_a_folder(tmp_path):
    (tmp_path / "b.txt").write_text("b")
    (tmp_path / "a.txt").write_text("a")
    assert [p.name for p in acquire(PathSource(path=tmp_path), tmp_path)] == ["a.txt", "b.txt"]
    file = tmp_path / "a.txt"
    assert acquire(PathSource(path=file, sha256=checksum(file)), tmp_path) == [file]
    with pytest.raises(FlowsciError, match="does not match"):
        acquire(PathSource(path=file, sha256="0" * 64), tmp_path)
    with pytest.raises(FlowsciError, match="no such file"):
        acquire(PathSource(path=tmp_path / "c.txt"), tmp_path)


def test_a_sample_comes_from_the_package_and_is_held_against_its_checksum(tmp_path):
    member = "templates/page.html"
    path = Path(flowsci.__file__).parent / member
    source = SampleSource(member=member, sha256=checksum(path))
    assert list(acquire(source, tmp_path)) == [path]
    with pytest.raises(FlowsciError, match="checksum"):
        acquire(SampleSource(member=member, sha256="0" * 64), tmp_path)
    with pytest.raises(FlowsciError, match="carries no file"):
        acquire(SampleSource(member="templates/none.html", sha256="0" * 64), tmp_path)


def test_a_simulation_starts_from_its_inputs_or_from_nothing(tmp_path):
    (tmp_path / "file").write_text("x")
    inputs = PathSource(path=tmp_path / "file")
    assert list(acquire(SimulateSource(inputs=inputs), tmp_path)) == [tmp_path / "file"]
    assert list(acquire(SimulateSource(), tmp_path)) == []


def test_a_store_that_is_read_in_place_is_not_fetched(tmp_path):
    assert acquire(StoreSource(address="gs://bucket/a.zarr"), tmp_path) == []
