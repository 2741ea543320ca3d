"""What holds for every test: one thread, as two busy ones on two cores are slower than one."""

import os
import sys

import pytest

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"


@pytest.fixture(autouse=True)
def figures_are_closed():
    """Close the figures that a test has drawn: pyplot keeps them, and warns of more than twenty."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
