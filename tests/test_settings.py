"""The settings that all domains share."""

from typing import get_args

from flowsci.flow import GRIDS, METHODS
from flowsci.settings import Grid, Method


def test_methods_and_grids_are_those_of_the_flow_core():
    assert set(get_args(Method)) == set(METHODS)
    assert set(get_args(Grid)) == set(GRIDS)
