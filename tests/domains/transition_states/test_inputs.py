"""Each bad input is refused with its reason, and the way out."""

import numpy as np
import pytest

from flowsci.domains.transition_states import domain
from flowsci.errors import FlowsciError
from tests.domains.transition_states.conftest import data_settings, frame, geometries


def prepare(tmp_path, text, name="bad.extxyz", **changes):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return domain.prepare([path], data_settings(**changes))


def triplet(numbers, ends, extra="", name="bad"):
    return "".join(frame(numbers, x, name, role, extra) for role, x in ends.items())


def test_ends_with_different_atoms_name_the_atoms(tmp_path):
    numbers, ends = geometries(0)
    other = numbers[[1, 0, 2, 3, 4]]
    text = frame(numbers, ends["reactant"], "bad", "reactant")
    text += frame(other, ends["product"], "bad", "product")
    with pytest.raises(FlowsciError, match=r"differ in the atoms 1 \(C and N\), 2 \(N and C\)"):
        prepare(tmp_path, text)
    fewer = frame(numbers[:4], ends["product"][:4], "bad", "product")
    with pytest.raises(FlowsciError, match=r"5 atoms \(CH3N\), the product 4 \(CH2N\)"):
        prepare(tmp_path, frame(numbers, ends["reactant"], "bad", "reactant") + fewer)


def test_documentation_beside_the_data_is_named_and_not_read(tmp_path):
    text = "".join(triplet(*geometries(i), name=f"r{i}") for i in range(12))
    (tmp_path / "all.extxyz").write_text(text, encoding="utf-8")
    (tmp_path / "SOURCE.txt").write_text("Where this comes from.", encoding="utf-8")
    (tmp_path / "README.md").write_text("# Reactions", encoding="utf-8")
    prepared = domain.prepare(sorted(tmp_path.iterdir()), data_settings())
    assert prepared.counts["files not read"] == ["README.md", "SOURCE.txt"]
    assert prepared.arrays.sizes["reaction"] == 12
    with pytest.raises(FlowsciError, match=r"SOURCE.txt.*no usable reaction"):
        domain.prepare([tmp_path / "SOURCE.txt"], data_settings())


def test_identical_ends_are_refused(tmp_path):
    numbers, ends = geometries(0)
    ends["product"] = ends["reactant"] @ np.diag([-1.0, -1.0, 1.0]) + 3
    with pytest.raises(FlowsciError, match="the same geometry"):
        prepare(tmp_path, triplet(numbers, ends))


def test_fragments_far_apart_are_refused_with_their_distance(tmp_path):
    numbers, ends = geometries(0)
    ends["reactant"][3:] += [0, 40, 0]
    with pytest.raises(FlowsciError, match=r"fragments of the reactant are 4\d\.\d Å apart"):
        prepare(tmp_path, triplet(numbers, ends))


def test_charges_are_refused(tmp_path):
    with pytest.raises(FlowsciError, match=r"has the charge \+1"):
        prepare(tmp_path, triplet(*geometries(0), extra="charge=1"))


def test_radicals_are_refused(tmp_path):
    numbers, ends = geometries(0)
    ends = {role: x[:4] for role, x in ends.items()}
    with pytest.raises(FlowsciError, match=r"15 electrons, an odd number: a radical"):
        prepare(tmp_path, triplet(numbers[:4], ends))


def test_a_system_of_200_atoms_is_refused_with_its_memory(tmp_path):
    numbers = np.array([6, 1] * 100)
    x = np.stack([np.arange(200) * 1.2, np.arange(200) % 2 * 1.0, np.zeros(200)], axis=1)
    ends = {"reactant": x, "transition_state": x * 1.01, "product": x * 1.02}
    with pytest.raises(FlowsciError, match=r"200 atoms, more than largest_atoms = 100.* MB"):
        prepare(tmp_path, triplet(numbers, ends))


def test_positions_that_are_no_numbers_are_named(tmp_path):
    numbers, ends = geometries(0)
    ends["transition_state"][2] = np.nan
    with pytest.raises(FlowsciError, match="no finite position for the atoms 3"):
        prepare(tmp_path, triplet(numbers, ends))


def test_faults_are_counted_where_they_may_be_skipped(tmp_path):
    text = "".join(triplet(*geometries(i), name=f"good_{i}") for i in range(10))
    text += triplet(*geometries(11), extra="charge=1", name="bad")
    prepared = prepare(tmp_path, text, on_fault="skip")
    assert prepared.counts["reactions"]["dropped"]["charge"] == 1
    assert "bad: has the charge" in prepared.counts["faults"][0]
    assert prepared.arrays.sizes["reaction"] == 10


def test_a_name_given_twice_is_refused(tmp_path):
    text = triplet(*geometries(0)) + triplet(*geometries(1), name="other") + triplet(*geometries(2))
    with pytest.raises(FlowsciError, match="name that another one has, such as bad"):
        prepare(tmp_path, text)


def test_a_truncated_file_is_refused(tmp_path):
    text = triplet(*geometries(0))
    with pytest.raises(FlowsciError, match="is not a whole file"):
        prepare(tmp_path, text[:-90])


def test_files_of_an_unknown_kind_are_refused(tmp_path):
    with pytest.raises(FlowsciError, match=r"files of this kind are not known\. Known: \.extxyz"):
        prepare(tmp_path, "nothing", name="bad.mol2")


def test_elements_of_a_smiles_that_are_not_those_of_the_geometry_are_named(tmp_path):
    numbers, ends = geometries(0)
    smiles = "[N:1]#[C:2][H:3].[H:4][H:5]>>[N+:1](#[C-:2])[H:3].[H:4][H:5]"
    with pytest.raises(FlowsciError, match=r"atom 1 is N, the geometry has C there.*mapped"):
        prepare(tmp_path, triplet(numbers, ends, f'smiles="{smiles}"'))


def test_a_line_between_frames_is_named_and_ends_nothing(tmp_path):
    text = triplet(*geometries(0), name="one") + "\n" + triplet(*geometries(1), name="two")
    with pytest.raises(FlowsciError, match=r"line 22: expected a number of atoms, found ''"):
        prepare(tmp_path, text)


@pytest.mark.parametrize(
    ("factor", "message"), [(0.1, "two atoms of the reactant are"), (3.0, "has no bond")]
)
def test_positions_that_are_not_in_angstrom_are_refused(tmp_path, factor, message):
    numbers, ends = geometries(0)
    scaled = {role: factor * x for role, x in ends.items()}
    with pytest.raises(FlowsciError, match=f"{message}.*Positions are in Å"):
        prepare(tmp_path, triplet(numbers, scaled))


def test_frames_without_a_role_are_named(tmp_path):
    numbers, ends = geometries(0)
    text = frame(numbers, ends["reactant"], "bad", "reactant").replace("role=", "part=")
    with pytest.raises(FlowsciError, match="its first frame says no role"):
        prepare(tmp_path, text)
