import gzip
from pathlib import Path

import numpy as np
import pytest

import flowsci.domains.transition_states
from flowsci.domains.transition_states import domain
from flowsci.domains.transition_states.chemistry.bonds import distances
from flowsci.domains.transition_states.graphs import orders_of
from flowsci.domains.transition_states.order import in_mapped_order
from flowsci.domains.transition_states.sources import read_reactions
from flowsci.errors import FlowsciError
from flowsci.flow import superpose
from tests.domains.transition_states.conftest import (
    SYMBOLS,
    data_settings,
    frame,
    geometries,
    write_triplets,
)

BUNDLED = Path(flowsci.domains.transition_states.__file__).parent / "data" / "gfn2.extxyz.gz"
MAPPED = "[C:1]([N:2])[H:3].[H:4][H:5]"


def test_triplets_may_be_compressed(tmp_path):
    plain = write_triplets(tmp_path / "a.extxyz", 3)
    packed = tmp_path / "b.extxyz.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    one, other = (list(read_reactions([path])) for path in (plain, packed))
    assert [r.name for r in one] == ["made_0", "made_1", "made_2"]
    assert all(np.array_equal(a.product, b.product) for a, b in zip(one, other, strict=True))
    assert one[0].energies == {"reactant": -1.5, "transition_state": -1.5, "product": -1.5}


def write_xyz(path, numbers, positions):
    rows = [f"{SYMBOLS[z]} {x} {y} {w}" for z, (x, y, w) in zip(numbers, positions, strict=True)]
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([str(len(numbers)), "", *rows]) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    "names",
    [
        ("one/reactant.xyz", "one/ts.xyz", "one/product.xyz"),
        ("one_r.xyz", "one_ts.xyz", "one_p.xyz"),
        ("one_reactant.xyz", "one_transition_state.xyz", "one_product.xyz"),
    ],
)
def test_folders_of_xyz(tmp_path, names):
    numbers, ends = geometries(0)
    for name, role in zip(names, ("reactant", "transition_state", "product"), strict=True):
        write_xyz(tmp_path / name, numbers, ends[role])
    (found,) = read_reactions([tmp_path / name for name in names])
    assert found.name == "one"
    assert np.allclose(found.transition_state, ends["transition_state"])


def test_the_smiles_beside_geometries_is_of_their_reaction(tmp_path):
    numbers, ends = geometries(0)
    for role, name in (("reactant", "one_r"), ("transition_state", "one_ts"), ("product", "one_p")):
        write_xyz(tmp_path / f"{name}.xyz", numbers, ends[role])
    smiles = "[C:1]#[N:2]>>[N:2]#[C:1]"
    (tmp_path / "one.smi").write_text(smiles, encoding="utf-8")
    (found,) = read_reactions(sorted(tmp_path.iterdir()))
    assert found.name == "one"
    assert found.smiles == smiles


def test_the_layout_of_transition_1x(tmp_path):
    h5py = pytest.importorskip("h5py")
    numbers, ends = geometries(0)
    with h5py.File(tmp_path / "t1x.h5", "w") as content:
        for role, x in ends.items():
            group = content.create_group(f"data/CH3N/rxn0001/{role}")
            group["positions"] = x[None]
            group["atomic_numbers"] = numbers
            group["wB97x_6-31G(d).energy"] = np.array([-12.5])
        content.create_group("val/CH3N/rxn0001")
    (found,) = read_reactions([tmp_path / "t1x.h5"])
    assert found.name == "CH3N/rxn0001"
    assert found.file == "val"
    assert np.allclose(found.product, ends["product"], atol=1e-5)
    assert found.energies["transition_state"] == -12.5


def test_the_layout_of_rgd1(tmp_path):
    h5py = pytest.importorskip("h5py")
    numbers, ends = geometries(0)
    with h5py.File(tmp_path / "RGD1_CHNO.h5", "w") as content:
        group = content.create_group("MR_1_0")
        group["elements"] = numbers
        for short, role in (("R", "reactant"), ("TS", "transition_state"), ("P", "product")):
            group[f"{short}G"] = ends[role]
            group[f"{short}_E"] = -2.0
        group["Rsmiles"], group["Psmiles"] = "C#N.[H][H]", "[C-]#[NH+].[H][H]"
    (found,) = read_reactions([tmp_path / "RGD1_CHNO.h5"])
    assert np.allclose(found.reactant, ends["reactant"])
    assert abs(found.energies["reactant"] + 54.4228) < 1e-3
    assert found.smiles == ""


def test_a_file_of_another_layout_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "other.h5", "w") as content:
        content.create_group("something")
    with pytest.raises(FlowsciError, match="neither as Transition1x nor as RGD1"):
        list(read_reactions([tmp_path / "other.h5"]))


def test_a_mapped_smiles_restores_the_order_of_atoms(tmp_path):
    numbers, ends = geometries(0)
    smiles = "[H:3][C:1]#[N:2].[H:4][H:5]>>[C-:1]#[N+:2][H:3].[H:4][H:5]"
    order = np.array([4, 1, 3, 0, 2])
    text = frame(numbers, ends["reactant"], "mixed", "reactant", f'smiles="{smiles}"')
    text += frame(numbers, ends["transition_state"], "mixed", "transition_state")
    text += frame(numbers[order], ends["product"][order], "mixed", "product")
    (tmp_path / "mixed.extxyz").write_text(text, encoding="utf-8")
    (found,) = read_reactions([tmp_path / "mixed.extxyz"], atom_order="mapped")
    assert found.atomic_numbers[:3].tolist() == [6, 7, 1]
    assert np.allclose(found.product[:3], ends["product"][:3], atol=1e-5)
    # the two atoms of the hydrogen molecule are alike: the nearer assignment is taken
    assert np.allclose(found.product, ends["product"], atol=1e-5)


def test_of_like_atoms_those_react_that_do_so_in_the_transition_state():
    """The reactant's graph does not tell its hydrogens apart; what becomes of them does."""
    wrong, generator = 0, np.random.default_rng(0)
    reactions = list(read_reactions([BUNDLED]))[::60]
    for r in reactions:
        ends = {e: getattr(r, e) for e in ("reactant", "transition_state", "product")}
        order = {e: generator.permutation(len(r.atomic_numbers)) for e in ("reactant", "product")}
        order["transition_state"] = order["reactant"]
        numbers = {e: r.atomic_numbers[order[e]] for e in ends}
        shuffled = {e: x[order[e]] for e, x in ends.items()}
        _, found = in_mapped_order(r.name, r.smiles, numbers, shuffled)
        before, after = orders_of(r) > 0
        changed = before != after
        lengths = [distances(x)[changed] for x in (r.transition_state, found["transition_state"])]
        wrong += bool(changed.any() and np.abs(lengths[0] - lengths[1]).max() > 0.5)
    assert wrong <= 0.1 * len(reactions)


def test_a_reaction_smiles_alone_is_embedded_and_sampled(tmp_path, model, run_settings):
    smiles = "[H:3][C:1]#[N:2]>>[C-:1]#[N+:2][H:3]"
    (tmp_path / "new.smi").write_text(f"{smiles} isomerisation\n", encoding="utf-8")
    splits = {"kind": "file", "train": ["other"], "test": ["new"]}
    prepared = domain.prepare([tmp_path / "new.smi"], data_settings(splits=splits))
    conditions = domain.conditions(prepared, run_settings.sampling)
    batch = conditions.batch([0])
    assert batch["atomic_numbers"].tolist() == [[6, 7, 1]]
    assert abs(float((batch["reactant"][0, 0] - batch["reactant"][0, 2]).norm()) - 1.07) < 0.1
    assert batch["start"].isfinite().all()


def test_positions_of_the_record_are_laid_on_the_reactant(prepared):
    import torch

    arrays = prepared.arrays
    atoms = slice(*arrays["atom_start"].values[:2])
    pair = [torch.from_numpy(arrays[n].values[atoms])[None] for n in ("product", "reactant")]
    assert torch.allclose(superpose(*pair), pair[0], atol=1e-4)


def test_equal_names_in_two_folders_are_two_reactions_and_one_role_is_one_file(tmp_path):
    numbers, ends = geometries(0)
    short = {"reactant": "r", "transition_state": "ts", "product": "p"}
    paths = []
    for folder in ("train", "val"):
        for role, x in ends.items():
            paths.append(tmp_path / folder / f"0001_{short[role]}.xyz")
            write_xyz(paths[-1], numbers, x)
    assert [reaction.name for reaction in read_reactions(paths)] == ["0001", "0001"]
    again = tmp_path / "train" / "0001_reactant.xyz"
    write_xyz(again, numbers, ends["reactant"])
    with pytest.raises(FlowsciError, match=r"0001_r\.xyz is of the same reaction and role"):
        list(read_reactions([*paths, again]))


@pytest.mark.parametrize("name", ["0001", "1e5", "T", "two words"])
def test_a_name_stays_as_it_is_written(tmp_path, name):
    path = write_triplets(tmp_path / "a.extxyz", 1)
    path.write_text(path.read_text().replace("made_0", f'"{name}"'))
    assert [reaction.name for reaction in read_reactions([path])] == [name]


def test_an_empty_file_and_a_charge_in_words_are_named(tmp_path):
    numbers, ends = geometries(0)
    for role in ("reactant", "product"):
        write_xyz(tmp_path / f"one_{role}.xyz", numbers, ends[role])
    paths = [tmp_path / f"one_{role}.xyz" for role in ("reactant", "product")]
    text = paths[0].read_text().split("\n")
    paths[0].write_text("\n".join([text[0], "charge=plus", *text[2:]]))
    (fault,) = read_reactions(paths)
    assert "charge=plus is no whole number" in str(fault)
    paths[0].write_text("")
    with pytest.raises(FlowsciError, match=r"one_reactant\.xyz: holds no geometry"):
        list(read_reactions(paths))
