"""Readers: what they make of sound files, and what they say of others."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from flowsci.domains.molecules.sources import read_molecules, source_of
from flowsci.errors import FlowsciError

from .files import (
    conformer,
    elements_and_positions,
    qm9_row,
    qm9_text,
    settings,
    write_archive,
    write_qm9_table,
    write_sdf,
)


def table_of(tmp_path: Path, smiles: list[str]) -> Path:
    rows = [
        qm9_row(index, text, *elements_and_positions(conformer(text)))
        for index, text in enumerate(smiles, 1)
    ]
    return write_qm9_table(tmp_path / "qm9_part1.csv", rows)


def test_a_table_of_qm9_gives_graphs_positions_and_properties_in_stored_units(tmp_path):
    block = read_molecules([table_of(tmp_path, ["C", "C#N", "OC=O"])], settings())
    assert block.names == ["gdb_1", "gdb_2", "gdb_3"]
    assert block.smiles == ["C", "C#N", "O=CO"]
    assert block.atomic_numbers.tolist() == [6, 1, 1, 1, 1, 6, 7, 1, 8, 6, 8, 1, 1]
    assert block.bond_counts.tolist() == [4, 2, 4]
    assert sorted(block.bond_orders.tolist()) == [1] * 8 + [2, 3]
    assert np.allclose(block.positions[:5].mean(0), 0, atol=1e-6)
    names = ["mu", "alpha", "homo"]
    assert block.properties[0, :3] == pytest.approx([1.5, 13.21, -0.25 * 27.211386]), names


def test_rows_whose_atoms_have_another_order_or_geometry_are_counted(tmp_path):
    symbols, positions = elements_and_positions(conformer("CO"))
    mixed = [symbols[2], *symbols[:2], *symbols[3:]]
    torn = positions.copy()
    torn[1] += 3.0
    swapped = positions.copy()
    swapped[2] = positions[1] + 0.97
    rows = [
        qm9_row(1, "CO", symbols, positions),
        qm9_row(2, "CO", mixed, positions),
        qm9_row(3, "CO", symbols, torn),
        qm9_row(4, "CO", symbols, swapped),
        qm9_row(5, "C(", symbols, positions),
    ]
    path = write_qm9_table(tmp_path / "qm9_part1.csv", rows)
    block = read_molecules([path], settings(on_fault="skip"))
    assert block.names == ["gdb_1"]
    assert block.causes == {
        "atoms not in the order of the SMILES": 1,
        "hydrogens differ from the SMILES": 2,
        "unreadable SMILES": 1,
    }
    with pytest.raises(FlowsciError, match=r"gdb_2.*on_fault: skip"):
        read_molecules([path], settings())


def test_a_cell_is_read_as_a_literal_and_never_run(tmp_path):
    row = qm9_row(1, "C", *elements_and_positions(conformer("C")))
    row[3] = "__import__('os').abort()"
    path = write_qm9_table(tmp_path / "qm9_part1.csv", [row])
    with pytest.raises(FlowsciError, match="gdb_1: cannot be read"):
        read_molecules([path], settings())


def test_large_molecules_can_be_left_out_and_are_counted(tmp_path):
    path = table_of(tmp_path, ["C", "CO", "CCO"])
    block = read_molecules([path], settings(most_heavy_atoms=2))
    assert block.smiles == ["C", "CO"]
    assert block.causes == {"more heavy atoms than asked for": 1}


def test_qm9_without_hydrogens_is_a_graph_of_heavy_atoms(tmp_path):
    path = table_of(tmp_path, ["CC(=O)N"])
    block = read_molecules([path], settings(mode="2d", hydrogens="none"))
    assert block.atomic_numbers.tolist() == [6, 6, 8, 7]
    assert block.smiles == ["CC(N)=O"]
    assert np.isnan(block.positions).all()


def test_qm9s_archive_is_read_as_the_table_is_and_leaves_out_the_listed(tmp_path):
    texts = {f"dsgdb9nsd_{n:06}.xyz": qm9_text(n, s) for n, s in enumerate(["C", "CO", "N"], 1)}
    archive = write_archive(tmp_path / "dsgdb9nsd.xyz.tar.bz2", {**texts, "../evil.txt": "no"})
    listed = tmp_path / "uncharacterized.txt"
    listed.write_text("  Index  Smiles\n---\n   2  CO  CO  1.0\n")
    block = read_molecules([archive, listed], settings())
    assert block.names == ["gdb_1", "gdb_3"]
    assert block.rows.tolist() == [0, 1]
    names = ["mu", "alpha", "homo", "lumo", "gap", "r2"]
    assert block.properties[0, :6] == pytest.approx(
        [1.5, 13.21, *(27.211386 * x for x in (-0.25, 0.1, 0.35)), 35.4]
    ), names
    assert not (tmp_path.parent / "evil.txt").exists()


def test_a_torn_archive_is_named(tmp_path):
    archive = write_archive(tmp_path / "qm9.tar.bz2", {"a.xyz": qm9_text(1, "CCO")})
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(FlowsciError, match=r"qm9\.tar\.bz2: (is no whole archive|cannot be read)"):
        read_molecules([archive], settings())


@pytest.mark.parametrize("packed", [False, True])
def test_an_sd_file_keeps_charges_bonds_positions_and_fields(tmp_path, packed):
    molecule = conformer("C[NH3+]")
    path = write_sdf(tmp_path / "made.sdf", [molecule, conformer("c1ccccc1")], alpha="2.0")
    if packed:
        path = tmp_path / "made.sdf.gz"
        path.write_bytes(gzip.compress((tmp_path / "made.sdf").read_bytes()))
    block = read_molecules([path], settings(properties={"alpha": "Å^3"}))
    assert block.names == ["made_0", "made_1"]
    assert block.charges.sum() == 1
    assert block.properties[:, 0] == pytest.approx(2.0 / 0.529177**3, rel=1e-4)
    benzene = block.bond_orders[block.bond_counts[0] :]
    assert sorted(benzene.tolist()) == [1] * 9 + [2] * 3
    places = molecule.GetConformer().GetPositions()
    assert block.positions[:8] == pytest.approx(places - places.mean(0), abs=1e-3)


def test_missing_hydrogens_are_said_and_added_only_when_asked(tmp_path):
    bare = Chem.RemoveHs(conformer("CCO"))
    path = write_sdf(tmp_path / "bare.sdf", [bare])
    with pytest.raises(FlowsciError, match=r"made_0: lacks 6 hydrogens.*hydrogens: add"):
        read_molecules([path], settings())
    block = read_molecules([path], settings(hydrogens="add"))
    assert block.atom_counts.tolist() == [9]
    assert np.isfinite(block.positions).all()


def test_what_rdkit_refuses_is_counted_with_its_reason(tmp_path):
    wrong = Chem.MolFromSmiles("C(C)(C)(C)(C)C", sanitize=False)
    path = write_sdf(tmp_path / "made.sdf", [wrong, conformer("CO")])
    text = path.read_text().replace("$$$$\n", "$$$$\nbroken\nrecord\n$$$$\n", 1)
    path.write_text(text)
    block = read_molecules([path], settings(on_fault="skip"))
    assert block.smiles == ["CO"]
    assert block.causes == {"not sanitisable": 1, "unreadable record": 1}
    assert "valence" in str(block.faults[0])


@pytest.mark.parametrize(
    ("smiles", "cause"),
    [
        ("[CH3]", "radical"),
        ("[Na+].[Cl-]", "several molecules"),
        ("*C", "unknown element"),
        ("C[2H]", "isotope"),
        ("[Fe]<-[OH2]", "unknown bond"),
        ("C(", "unreadable SMILES"),
        ("CC(C)(C)(C)C", "not sanitisable"),
        ("C" * 67, "too many atoms"),
    ],
)
def test_molecules_that_cannot_be_used_are_counted_by_cause(tmp_path, smiles, cause):
    path = tmp_path / "made.smi"
    path.write_text(f"{smiles} bad\nCO good\n")
    block = read_molecules([path], settings(on_fault="skip", mode="2d"))
    assert block.names == ["good"]
    assert block.causes == {cause: 1}
    assert str(block.faults[0]).startswith("made.smi, record 1: bad: ")


def test_a_molecule_that_is_too_large_is_refused_with_its_memory(tmp_path):
    path = tmp_path / "made.smi"
    path.write_text("C" * 100 + " long\n")
    with pytest.raises(FlowsciError, match=r"long: has 302 atoms.*about 350 MB.*largest_atoms"):
        read_molecules([path], settings(mode="2d"))


def test_smiles_get_conformers_that_depend_on_seed_and_row_alone(tmp_path):
    path = tmp_path / "made.smi"
    path.write_text("# a comment\nCCO ethanol\nCCN\n")
    two = settings(conformers={"count": 2})
    block = read_molecules([path], two)
    assert block.names == ["ethanol_1", "ethanol_2", "made_3_1", "made_3_2"]
    again = read_molecules([path], settings(conformers={"count": 2}))
    assert np.array_equal(block.positions, again.positions)
    other = read_molecules([path], settings(conformers={"count": 2}, seed=1))
    assert not np.allclose(block.positions, other.positions, atol=1e-3)


def test_several_processes_read_what_one_does(tmp_path):
    path = tmp_path / "made.smi"
    path.write_text("\n".join(f"{'C' * n}O" for n in range(1, 6)))
    one = read_molecules([path], settings())
    two = read_molecules([path], settings(processes=2))
    assert one.names == two.names
    assert np.array_equal(one.positions, two.positions)


def test_bonds_of_extended_xyz_are_perceived(tmp_path):
    frames = ""
    for smiles, key in (("CC#N", ""), ("C[NH3+]", "charge=1 name=ammonium alpha=3.5")):
        symbols, positions = elements_and_positions(conformer(smiles))
        rows = "\n".join(
            f"{s} {x:.5f} {y:.5f} {z:.5f}" for s, (x, y, z) in zip(symbols, positions, strict=True)
        )
        frames += f"{len(symbols)}\nProperties=species:S:1:pos:R:3 {key}\n{rows}\n"
    path = tmp_path / "made.xyz"
    path.write_text(frames)
    block = read_molecules([path], settings(properties={"alpha": "Bohr^3"}))
    assert block.smiles == ["CC#N", "C[NH3+]"]
    assert block.names == ["made_1", "ammonium"]
    assert np.isnan(block.properties[0, 0])
    assert block.properties[1, 0] == 3.5


def test_an_xyz_frame_that_lacks_a_hydrogen_is_a_fault(tmp_path):
    symbols, positions = elements_and_positions(conformer("CCO"))
    rows = [f"{s} {x} {y} {z}" for s, (x, y, z) in zip(symbols, positions, strict=True)][:-1]
    path = tmp_path / "made.xyz"
    path.write_text("\n".join([str(len(rows)), "", *rows]) + "\n")
    with pytest.raises(FlowsciError, match=r"made\.xyz, record 1: made_1: "):
        read_molecules([path], settings())


def test_zincs_table_with_line_ends_in_its_cells_is_read_without_positions(tmp_path):
    path = tmp_path / "zinc.csv"
    path.write_text('smiles,logP,qed\n"CC(C)c1ccc[nH]1\n",2.5,0.7\n"C[N+](=O)[O-]\n",,0.4\n')
    block = read_molecules(
        [path], settings(mode="2d", hydrogens="none", properties={"logP": "1", "qed": "1"})
    )
    assert block.smiles == ["CC(C)c1ccc[nH]1", "C[N+](=O)[O-]"]
    assert np.isnan(block.properties[1, 0])
    assert block.properties[:, 1].tolist() == [0.7, 0.4]


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"alpha": "Hartree"}, "alpha: is no quantity in Hartree. Understood: Bohr"),
        ({"alpha": "cubits"}, "the unit 'cubits' is not known"),
        ({"beta": "1"}, "has no column beta"),
        ({"alpha": "Bohr^3"}, r"made\.csv, record 1: made_1: the property alpha is 'much'"),
    ],
)
def test_a_property_in_another_unit_or_that_is_no_number_is_named(tmp_path, properties, message):
    path = tmp_path / "made.csv"
    path.write_text("smiles,alpha\nCO,much\n")
    with pytest.raises(FlowsciError, match=message):
        read_molecules([path], settings(mode="2d", properties=properties))


def write_xyz(path: Path, *keys: str) -> Path:
    """Write a frame of methanol for each line of keys."""
    symbols, positions = elements_and_positions(conformer("CO"))
    rows = [f"{s} {x} {y} {z}" for s, (x, y, z) in zip(symbols, positions, strict=True)]
    header = "Properties=species:S:1:pos:R:3"
    frames = [[str(len(rows)), f"{header} {text}", *rows] for text in keys]
    path.write_text("\n".join(line for frame in frames for line in frame) + "\n")
    return path


@pytest.mark.parametrize("text", ["inf", "-inf", "1e999", "1e308"])
def test_a_value_that_is_not_finite_is_a_fault_and_nan_is_unknown(tmp_path, text):
    path = tmp_path / "made.csv"
    path.write_text(f"smiles,name,gap\nC,one,{text}\nCO,two,nan\nCC,three,2\n")
    given = settings(mode="2d", properties={"gap": "Hartree"}, on_fault="skip")
    block = read_molecules([path], given)
    assert block.names == ["two", "three"]
    assert np.isnan(block.properties[0, 0])
    assert block.causes == {"property is no number": 1}
    assert f"one: the property gap is '{text}'" in str(block.faults[0])


@pytest.mark.parametrize("column", ["alpha", "gap"])
def test_a_row_of_qm9_that_is_not_finite_is_a_fault(tmp_path, column):
    row = qm9_row(1, "C", *elements_and_positions(conformer("C")))
    row[5 + ["mu", "alpha", "homo", "lumo", "gap"].index(column)] = "inf"
    path = write_qm9_table(tmp_path / "qm9_part1.csv", [row])
    with pytest.raises(FlowsciError, match=r"gdb_1: cannot be read.*inf is no value"):
        read_molecules([path], settings())


def test_properties_of_qm9_cannot_be_named(tmp_path):
    with pytest.raises(FlowsciError, match=r"properties: QM9's own readers.*remove"):
        read_molecules([table_of(tmp_path, ["C"])], settings(properties={"mu": "Debye"}))


@pytest.mark.parametrize("kind", ["sdf", "xyz", "smi"])
def test_a_property_that_no_record_has_is_named_with_those_there_are(tmp_path, kind):
    path = tmp_path / f"made.{kind}"
    if kind == "sdf":
        write_sdf(path, [conformer("CO")], alpha="2.0", gap="0.1")
    elif kind == "xyz":
        write_xyz(path, "alpha=2.0 gap=0.1")
    else:
        path.write_text("CO methanol\n")
    there = "none" if kind == "smi" else "alpha, gap"
    message = rf"made\.{kind}: no record has the property alhpa of .*fields are: {there}\. Name it"
    with pytest.raises(FlowsciError, match=message):
        read_molecules([path], settings(properties={"alhpa": "Bohr^3"}))


def test_a_property_that_only_a_later_record_has_is_unknown_before(tmp_path):
    path = write_xyz(tmp_path / "made.xyz", "", "alpha=3.5")
    block = read_molecules([path], settings(properties={"alpha": "Bohr^3"}))
    assert np.isnan(block.properties[0, 0])
    assert block.properties[1, 0] == 3.5


@pytest.mark.parametrize("charge", ["one", "0.5", "inf"])
def test_a_charge_that_is_no_whole_number_is_a_fault(tmp_path, charge):
    path = write_xyz(tmp_path / "made.xyz", f"charge={charge}", "charge=0")
    block = read_molecules([path], settings(on_fault="skip"))
    assert block.names == ["made_2"]
    assert block.causes == {"charge is no whole number": 1}
    assert str(block.faults[0]).startswith("made.xyz, record 1: made_1: the key charge is")


def test_a_frame_that_does_not_begin_with_its_number_of_atoms_is_named(tmp_path):
    path = write_xyz(tmp_path / "made.xyz", "")
    path.write_text(path.read_text() + "C 0 0 0\n")
    with pytest.raises(FlowsciError, match=r"frame 2 begins with 'C 0 0 0'.*A frame is"):
        read_molecules([path], settings())


def test_a_damaged_text_is_named_with_its_mend(tmp_path):
    latin, quoted = tmp_path / "latin.smi", tmp_path / "quoted.csv"
    latin.write_bytes(b"CO caf\xe9\n")
    quoted.write_text('smiles\n"' + "C" * 200_000 + '"\n')
    for path in (latin, quoted):
        with pytest.raises(FlowsciError, match=rf"{path.name}: cannot be read.*Give the whole"):
            read_molecules([path], settings(mode="2d"))


def test_the_first_faults_of_each_cause_are_kept_with_their_places(tmp_path):
    first, second = tmp_path / "first.smi", tmp_path / "second.smi"
    first.write_text("".join(f"[CH3] r{n}\n" for n in range(5)) + "CO good\n")
    second.write_text("C( broken\nC(C)(C)(C)(C)C wrong\n[CH3] last\n")
    block = read_molecules([first, second], settings(on_fault="skip", mode="2d"))
    assert block.places == ["first.smi, record 6"]
    assert block.causes == {"radical": 6, "unreadable SMILES": 1, "not sanitisable": 1}
    starts = [str(fault).split(":")[0] for fault in block.faults]
    assert starts == [
        *(f"first.smi, record {n}" for n in (1, 2, 3)),
        *(f"second.smi, record {n}" for n in (1, 2)),
    ]


def test_empty_files_unknown_kinds_and_mixed_kinds_are_named(tmp_path):
    empty, unknown, smiles = (tmp_path / name for name in ("a.sdf", "b.pdb", "c.smi"))
    empty.write_text("\n")
    unknown.write_text("ATOM\n")
    smiles.write_text("# nothing but a comment\n")
    table = tmp_path / "d.csv"
    table.write_text("smiles\nC\n")
    with pytest.raises(FlowsciError, match=r"a\.sdf: is empty"):
        source_of(empty)
    with pytest.raises(FlowsciError, match=r"b\.pdb: files of the kind '\.pdb' are not known"):
        source_of(unknown)
    with pytest.raises(FlowsciError, match=r"c\.smi: holds no molecule"):
        read_molecules([smiles], settings())
    with pytest.raises(FlowsciError, match="of 2 kinds"):
        read_molecules([smiles, table], settings())


def test_a_drawing_has_no_positions(tmp_path):
    from rdkit.Chem import rdDepictor

    flat = Chem.AddHs(Chem.MolFromSmiles("CO"))
    rdDepictor.Compute2DCoords(flat)
    path = write_sdf(tmp_path / "flat.sdf", [flat])
    with pytest.raises(FlowsciError, match="no positions in space"):
        read_molecules([path], settings())
    assert read_molecules([path], settings(mode="2d")).smiles == ["CO"]


def test_the_hydrogen_of_an_imine_has_one_spelling(tmp_path):
    """Stereo marks keep a hydrogen that defines them, unless told otherwise."""
    path = tmp_path / "imines.smi"
    path.write_text("CC=N plain\n[H]/N=C/C marked\n")
    bare = read_molecules([path], settings(mode="2d", hydrogens="none"))
    assert bare.smiles == ["CC=N", "CC=N"]
    assert sorted(bare.atomic_numbers.tolist()) == [6, 6, 6, 6, 7, 7]
    assert read_molecules([path], settings(mode="2d")).smiles == ["CC=N", "CC=N"]


def test_a_table_from_a_spreadsheet_is_read(tmp_path):
    """With the mark of its encoding, an unnamed row, and one without a molecule."""
    path = tmp_path / "sheet.csv"
    path.write_text("\ufeffsmiles,name\nCC,b\nCCO,\n,c\n", encoding="utf-8")
    block = read_molecules([path], settings(on_fault="skip"))
    assert block.names == ["b", "sheet_2"]
    assert block.causes == {"unreadable SMILES": 1}
