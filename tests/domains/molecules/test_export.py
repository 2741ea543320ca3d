"""What a user opens is what was drawn."""

import ase.io
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import xarray as xr
from rdkit import Chem

from flowsci.domains.molecules import domain
from flowsci.domains.molecules.decode import bonds_of, decode
from flowsci.domains.molecules.export import graphs_of
from flowsci.domains.molecules.record import Molecules, graphs
from flowsci.errors import FlowsciError

from .made import prepared


def drawn(made, samples: int = 1, spoil: bool = True):
    """Give training molecules as if drawn; some are spoilt: without atoms, with wrong bonds."""
    everyone = graphs(Molecules.of_split(made.arrays, "train"))
    count, n = len(everyone) // samples, max(len(g.atomic_numbers) for g in everyone)
    shape = (count, samples, n)
    tensors = {
        "mask": torch.zeros(shape, dtype=torch.bool),
        "atomic_numbers": torch.zeros(shape, dtype=torch.int64),
        "charges": torch.zeros(shape, dtype=torch.int64),
        "bonds": torch.zeros(*shape, n, dtype=torch.int64),
    }
    if made.statistics["has_positions"]:
        tensors["positions"] = torch.zeros(*shape, 3)
    for number, graph in enumerate(everyone[: count * samples]):
        at, size = divmod(number, samples), len(graph.atomic_numbers)
        tensors["mask"][at][:size] = True
        tensors["atomic_numbers"][at][:size] = torch.from_numpy(graph.atomic_numbers)
        tensors["charges"][at][:size] = torch.from_numpy(graph.charges)
        tensors["bonds"][at][:size, :size] = torch.from_numpy(graph.bonds)
        if graph.positions is not None:
            tensors["positions"][at][:size] = torch.from_numpy(graph.positions)
    if spoil:
        tensors["mask"][0, 0] = False
        tensors["bonds"][1, 0, 0, 1] = tensors["bonds"][1, 0, 1, 0] = 3
    batch = {"id": torch.arange(count), "mask": tensors["mask"][:, 0]}
    return tensors, batch, everyone


def same(a, b) -> bool:
    return np.array_equal(a.atomic_numbers, b.atomic_numbers) and np.array_equal(a.bonds, b.bonds)


def test_rows_hold_every_sample_whatever_the_batch(tmp_path):
    made = prepared()
    tensors, batch, everyone = drawn(made, samples=2, spoil=False)
    whole = decode(tensors, batch, made)
    halves = [slice(0, 3), slice(3, None)]
    path = tmp_path / "samples.zarr"
    for number, part in enumerate(halves):
        rows = decode(
            {k: v[part] for k, v in tensors.items()}, {k: v[part] for k, v in batch.items()}, made
        )
        how = {"append_dim": "row"} if number else {"zarr_format": 3}
        rows.to_zarr(path, consolidated=False, **how)
    joined = xr.open_zarr(path, chunks=None, consolidated=False)
    assert xr.Dataset.equals(joined.load(), whole)
    _, found = graphs_of(joined, True)
    count = len(everyone) // 2 * 2
    assert all(same(*pair) for pair in zip(found, everyone[:count], strict=True))
    assert found[0].positions == pytest.approx(everyone[0].positions)


def test_bonds_as_text_are_bonds():
    draw = np.random.default_rng(0)
    upper = np.triu(draw.integers(0, 4, size=(12, 12)), 1)
    texts = [" ".join(f"{j}:{row[j]}" for j in np.flatnonzero(row)) for row in upper]
    assert np.array_equal(bonds_of(np.array(texts, dtype=object)), upper + upper.T)


def test_files_hold_a_record_for_every_sample_that_was_asked_for(tmp_path):
    made = prepared()
    tensors, batch, everyone = drawn(made)
    batch["properties"] = torch.full((len(everyone), 0), torch.nan)
    exported = domain.export(decode(tensors, batch, made), made, tmp_path)
    assert set(exported.files) == {"samples.parquet", "samples.sdf", "samples.extxyz"}
    read = domain.read_samples(tmp_path)
    assert len(read.graphs) == len(read.table) == len(everyone)
    assert read.table["atoms"].tolist()[:1] == [0]
    assert len(read.graphs[0].atomic_numbers) == 0
    assert read.graphs[1].bonds[0, 1] == 3
    for graph, true in zip(read.graphs[2:], everyone[2:], strict=True):
        assert same(graph, true)
        assert np.array_equal(graph.charges, true.charges)
        assert graph.positions == pytest.approx(true.positions, abs=1e-4)
    assert read.table["stable"].tolist()[2:] == [True] * (len(everyone) - 2)
    assert not read.table["stable"][:2].any()


def test_other_programs_open_the_files(tmp_path):
    made = prepared()
    tensors, batch, everyone = drawn(made, spoil=False)
    domain.export(decode(tensors, batch, made), made, tmp_path)
    molecules = list(Chem.SDMolSupplier(str(tmp_path / "samples.sdf"), removeHs=False))
    assert None not in molecules
    table = pq.read_table(tmp_path / "samples.parquet")
    assert [m.GetProp("smiles") for m in molecules] == table["smiles"].to_pylist()
    assert b"units" not in (table.schema.field("smiles").metadata or {})
    frames = ase.io.read(tmp_path / "samples.extxyz", index=":")
    assert [len(frame) for frame in frames] == [len(g.atomic_numbers) for g in everyone]
    assert frames[0].info["smiles"] == table["smiles"][0].as_py()


def test_graphs_without_positions_get_those_of_a_drawing(tmp_path):
    made = prepared("2d", "none")
    tensors, batch, _ = drawn(made)
    exported = domain.export(decode(tensors, batch, made), made, tmp_path)
    assert "samples.extxyz" not in exported.files
    read = domain.read_samples(tmp_path)
    assert all(graph.positions is None and not graph.hydrogens for graph in read.graphs)
    molecules = list(Chem.SDMolSupplier(str(tmp_path / "samples.sdf"), sanitize=False))
    assert np.ptp(molecules[5].GetConformer().GetPositions(), axis=0)[:2].max() > 1


def test_files_that_do_not_belong_together_are_named(tmp_path):
    made = prepared()
    tensors, batch, _ = drawn(made)
    domain.export(decode(tensors, batch, made), made, tmp_path)
    path = tmp_path / "samples.sdf"
    path.write_text(path.read_text().split("$$$$\n", 1)[1])
    with pytest.raises(FlowsciError, match="Sample again"):
        domain.read_samples(tmp_path)
