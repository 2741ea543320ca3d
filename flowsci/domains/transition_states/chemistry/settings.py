"""Settings of the chemistry: how reactions are made."""

from pydantic import Field

from flowsci.settings import Section


class SimulationSettings(Section):
    """Which reactions are looked for."""

    elements: list[str] = Field(
        ["H", "C", "N", "O"], min_length=1, description="Elements that a molecule may have."
    )
    most_heavy_atoms: int = Field(
        5, gt=1, description="Heavy atoms of the largest molecule that is a starting point."
    )
    molecules: int | None = Field(
        None, gt=0, description="Starting molecules, those with the fewest atoms; all without it."
    )
    products: int | None = Field(
        None,
        gt=0,
        description="Products tried for a molecule: those for which the fewest bonds break "
        "altogether, drawn by `seed` among equals; all without it.",
    )
    furthest_bonds: int = Field(
        4, ge=2, description="Atoms that come together are at most this many bonds apart."
    )


class RefineSettings(Section):
    """How generated transition states are refined at GFN2-xTB."""

    steps: int = Field(40, gt=0, description="Most steps of the search for the saddle.")
    force: float = Field(0.01, gt=0, description="Largest force on an atom at the saddle, in eV/Å.")
    overlap: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Least likeness of the imaginary mode with the change of bonds.",
    )
    intrinsic_path: bool = Field(
        False, description="Follow the path to both sides: does it connect the asked molecules?"
    )
