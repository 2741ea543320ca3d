"""GFN2-xTB energies and gradients of neutral closed-shell molecules, through tblite.

C. Bannwarth, S. Ehlert and S. Grimme, J. Chem. Theory Comput. 15, 1652 (2019).
"""

from collections.abc import Sequence
from functools import cache
from importlib.metadata import version

import numpy as np
from ase.units import Bohr, Hartree, kB
from tblite.exceptions import TBLiteRuntimeError
from tblite.interface import Calculator, Result

from flowsci.domains.transition_states.chemistry.failure import Failure
from flowsci.errors import FlowsciError

HEAVIEST_ELEMENT = 86
METHOD = "GFN2-xTB"


@cache
def program() -> str:
    """Name the program and its version."""
    return f"tblite {version('tblite')}"


class Gfn2:
    """The potential energy surface of one molecule; each call starts from the last wavefunction.

    Calls must come from one process with one thread (OMP_NUM_THREADS=1) to be the same to the bit.
    A self-consistent field that does not converge is tried once more from a fresh start, and
    counted in `retries`; then it raises `Failure`. `temperature` (K) is that of the electrons: a
    high one lets far-stretched molecules converge on the way to a guess, at another energy. A
    larger `accuracy` (tblite's word) is a looser and quicker convergence.
    """

    def __init__(
        self,
        atomic_numbers: Sequence[int] | np.ndarray,
        charge: int = 0,
        temperature: float = 300.0,
        accuracy: float = 1.0,
    ) -> None:
        self.atomic_numbers = np.asarray(atomic_numbers, dtype=np.int32)
        require_supported(self.atomic_numbers, charge)
        self.temperature = temperature
        self.accuracy = accuracy
        self.retries = 0
        self._calculator: Calculator | None = None
        self._wavefunction: Result | None = None

    def __call__(self, positions: np.ndarray) -> tuple[float, np.ndarray]:
        """Give energy (eV) and gradient (n, 3) in eV/Å at `positions` (n, 3) in Å."""
        if not np.isfinite(positions).all():
            raise Failure("positions_not_finite")
        try:
            self._wavefunction = self._single_point(positions, self._wavefunction)
        except TBLiteRuntimeError:
            self.retries += 1
            self._calculator = self._wavefunction = None
            try:
                self._wavefunction = self._single_point(positions, None)
            except TBLiteRuntimeError as error:
                self._calculator = None
                raise Failure("scf_not_converged", " ".join(str(error).split())) from None
        energy = float(self._wavefunction.get("energy")) * Hartree
        gradient = np.array(self._wavefunction.get("gradient")) * (Hartree / Bohr)
        if not (np.isfinite(energy) and np.isfinite(gradient).all()):
            self._wavefunction = None
            raise Failure("scf_not_finite")
        return energy, gradient

    def _single_point(self, positions: np.ndarray, start: Result | None) -> Result:
        bohr = np.ascontiguousarray(positions / Bohr)
        if self._calculator is None:
            self._calculator = Calculator(METHOD, self.atomic_numbers, bohr, charge=0.0, uhf=0)
            self._calculator.set("verbosity", 0)
            self._calculator.set("temperature", self.temperature * kB / Hartree)
            self._calculator.set("accuracy", self.accuracy)
        else:
            self._calculator.update(bohr)
        return self._calculator.singlepoint(start)


def require_supported(atomic_numbers: np.ndarray, charge: int = 0) -> None:
    """Raise `FlowsciError`, with the reason, for what this page's surface is not made for."""
    if charge != 0:
        raise FlowsciError(
            f"The molecule has the charge {charge:+d}; only neutral molecules are supported."
        )
    if len(atomic_numbers) == 0:
        raise FlowsciError("The molecule has no atoms.")
    unknown = sorted({int(z) for z in atomic_numbers if not 1 <= z <= HEAVIEST_ELEMENT})
    if unknown:
        names = ", ".join(map(str, unknown))
        raise FlowsciError(
            f"{METHOD} has no parameters for the atomic number {names}; it covers 1 to "
            f"{HEAVIEST_ELEMENT}."
        )
    if int(np.sum(atomic_numbers)) % 2:
        raise FlowsciError(
            f"The molecule has {int(np.sum(atomic_numbers))} electrons, an odd number: radicals "
            "are not supported. Check for a missing hydrogen or a charge."
        )
