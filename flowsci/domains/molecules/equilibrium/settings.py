"""Settings of equilibrium conformers: the chains that make the data, network, flow, sampling."""

from typing import Literal

from pydantic import Field

from flowsci.settings import Section


class EquilibriumSettings(Section):
    """Conformers of one molecule at a temperature, by Markov chains, for a `simulate` source."""

    smiles: str = Field(min_length=1, description="The molecule; hydrogens are added.")
    temperature_kelvin: float = Field(300.0, gt=0, description="Temperature.")
    energy: Literal["mmff94", "gfn2"] = Field(
        "mmff94", description="MMFF94 of RDKit, or GFN2-xTB of tblite, a thousand times slower."
    )
    chains: int = Field(
        16, ge=4, description="Independent chains; each stands in one split, by `splits`."
    )
    conformers: int = Field(5000, gt=0, description="Conformers that are kept of each chain.")
    stride: int = Field(4, gt=0, description="Iterations of a chain for each that is kept.")
    burn_in: int = Field(1000, gt=0, description="Iterations before the first that is kept.")


class InternalNetwork(Section):
    """A residual network over the internal coordinates of one molecule."""

    kind: Literal["internal"] = "internal"
    width: int = Field(192, gt=0, description="Features of a layer.")
    layers: int = Field(3, gt=0, description="Residual layers.")
    harmonics: int = Field(4, gt=0, description="Waves by which an angle on the circle is seen.")


class EquilibriumFlow(Section):
    """The flow of one molecule's conformers in internal coordinates, whose density is exact."""

    kind: Literal["equilibrium"] = "equilibrium"


class EquilibriumConditions(Section):
    """Conformers of the dataset's molecule, in sets that are independent of each other."""

    kind: Literal["equilibrium"] = "equilibrium"
    sets: int = Field(5, gt=0, description="Sets of `samples` conformers, each weighed by itself.")
