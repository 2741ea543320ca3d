"""What is no file of a simulation or no store that can be read in place is named."""

import pytest

from flowsci.domains.weather.readers.opening import open_store, zarr_stores
from flowsci.domains.weather.readers.simulated import read_simulated
from flowsci.errors import FlowsciError
from tests.domains.weather.readers.files import dataset, save


def test_a_simulation_is_one_file(tmp_path):
    with pytest.raises(FlowsciError, match=r"needs the one file .*, 0 are given: none\. Name"):
        read_simulated([])
    two = save(dataset(), tmp_path, "a.nc") + save(dataset(), tmp_path, "b.nc")
    with pytest.raises(FlowsciError, match=r"2 are given: .*a\.nc, .*b\.nc\. Name it in source"):
        read_simulated(two)
    with pytest.raises(FlowsciError, match=r"a\.nc: isn't a file of coefficients"):
        read_simulated(two[:1])
    (tmp_path / "c.nc").write_text("no data")
    with pytest.raises(FlowsciError, match=r"c\.nc: is no NetCDF file that can be read"):
        read_simulated([tmp_path / "c.nc"])


def test_a_store_without_its_reader_says_what_to_install(monkeypatch):
    def lacking(*arguments, **options):
        raise ImportError("no gcsfs")

    monkeypatch.setattr("xarray.open_zarr", lacking)
    with pytest.raises(FlowsciError, match=r"gs://a/b\.zarr: cannot be read in place: no gcsfs"):
        open_store("gs://a/b.zarr")


def test_a_mistake_in_the_code_is_no_users_error(monkeypatch):
    def broken(*arguments, **options):
        raise TypeError("ours")

    monkeypatch.setattr("xarray.open_zarr", broken)
    with pytest.raises(TypeError, match="ours"):
        open_store("a.zarr")


def test_the_outermost_store_of_a_folder_is_meant(tmp_path):
    files = save(dataset(), tmp_path, "a.zarr")
    inner = tmp_path / "a.zarr" / "t" / ".zgroup"
    inner.write_text("{}")
    assert zarr_stores([*files, inner]) == [tmp_path / "a.zarr"]
