import numpy as np
import pytest

from flowsci.domains.transition_states import splits
from flowsci.domains.transition_states.settings import FileSplits, ShareSplits
from flowsci.errors import FlowsciError

SHARES = ShareSplits(kind="reactant", train=0.6, validation=0.2, test=0.2)


def test_groups_stand_on_one_side_and_shares_are_about_kept():
    names = np.repeat([f"graph_{i}" for i in range(200)], 5)
    side = splits.by_group(names, SHARES, seed=0)
    for group in side.reshape(200, 5):
        assert len(set(group)) == 1
    assert np.allclose(np.bincount(side) / len(side), [0.6, 0.2, 0.2], atol=0.01)


def test_a_reactant_graph_is_on_one_side_when_cores_are_split():
    draw = np.random.default_rng(0)
    cores = draw.integers(0, 40, 500).astype(str)
    graphs = draw.integers(0, 200, 500).astype(str)
    side = splits.apart(splits.by_group(cores, SHARES, seed=0), graphs)
    kept = side != splits.DROPPED
    assert 0.2 < kept.mean() < 1
    for names in (cores, graphs):
        for name in np.unique(names):
            assert len(set(side[kept & (names == name)])) <= 1
    assert set(side[kept]) == {0, 1, 2}


def test_files_say_the_split_and_a_share_of_validation_becomes_test():
    stems = ["train"] * 50 + ["val"] * 40
    side = splits.by_file(stems, FileSplits(test_from_validation=0.5), seed=1)
    assert np.bincount(side).tolist() == [50, 20, 20]
    assert (side[:50] == 0).all()
    with pytest.raises(FlowsciError, match=r"The file other is of no split\. Named"):
        splits.by_file(["other"], FileSplits(), seed=0)
