"""Settings of datasets of molecules: how they are read, shared out, and given positions."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from flowsci.domains.molecules.equilibrium.settings import EquilibriumSettings
from flowsci.settings import DataSettings, Section, Shares, refuse_changed


class ShareSplits(Shares):
    """Shares of molecules, drawn at random; molecules of one graph stand on one side."""

    kind: Literal["shares"] = "shares"


class PermutationSplits(Section):
    """Numbers of molecules in the order of NumPy's `RandomState(seed).permutation` of all rows.

    With 100,000, 17,748 and 13,083 it is the split of Cormorant and EDM on QM9. It is drawn before
    rows are dropped, so that no cause of dropping moves a molecule to another side.
    """

    kind: Literal["permutation"] = "permutation"
    train: int = Field(gt=0, description="Molecules to train on.")
    validation: int = Field(gt=0, description="Molecules that choose the model.")
    test: int = Field(gt=0, description="Molecules that the model is judged on.")


class ConformerSettings(Section):
    """Positions for molecules that come without: ETKDG of RDKit, then MMFF94."""

    count: int = Field(1, gt=0, description="Conformers of each molecule; each becomes a record.")
    force_field: Literal["mmff", "none"] = Field(
        "mmff", description="`mmff` relaxes every conformer; `none` keeps it as ETKDG gives it."
    )
    steps: int = Field(500, gt=0, description="Most steps of the relaxation.")


class MoleculesData(DataSettings):
    """A dataset of molecules: atoms, Kekulé bonds, formal charges, and positions if any."""

    sources: ClassVar[tuple[str, ...]] = ("wheel", "url", "path", "sample", "simulate")

    domain: Literal["molecules"]
    level: str = Field(
        "", description="Level of theory of geometries and properties, for protocols and cards."
    )
    mode: Literal["3d", "2d"] = Field(
        "3d", description="`3d`: graphs with positions; `2d`: graphs alone."
    )
    hydrogens: Literal["explicit", "add", "none"] = Field(
        "explicit",
        description="`explicit`: as the source gives them, and a molecule that lacks some is a "
        "fault; `add`: missing ones are added, with positions where there are any; `none`: left "
        "out, for `2d` only.",
    )
    splits: Annotated[
        ShareSplits | PermutationSplits,
        Field(discriminator="kind"),
    ] = ShareSplits()
    properties: dict[str, str] = Field(
        {},
        description="Properties to keep and the unit each has in the source, by the name of its "
        "column or field: Debye, Bohr^3, Hartree, eV, kcal/mol, cal/(mol K) or 1. QM9's own "
        "readers know theirs.",
    )
    most_heavy_atoms: int | None = Field(
        None, gt=0, description="Leave out molecules with more heavy atoms; all without it."
    )
    largest_atoms: int = Field(
        200,
        gt=0,
        description="Largest number of atoms of a molecule; memory grows as its square. A larger "
        "one is a fault.",
    )
    on_fault: Literal["stop", "skip"] = Field(
        "stop",
        description="What a molecule that cannot be used does: stop, or be counted by its fault "
        "and left out.",
    )
    conformers: ConformerSettings = ConformerSettings()
    # not said where there is none: the datasets of many molecules stay as they were made
    simulation: EquilibriumSettings | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="Which molecule's conformers are made, at what temperature, for a `simulate` "
        "source.",
    )
    processes: int = Field(2, gt=0, description="Processes that read, one core each.")

    @model_validator(mode="after")
    def _graphs_alone_without_hydrogens(self) -> "MoleculesData":
        if self.hydrogens == "none" and self.mode == "3d":
            raise ValueError("`hydrogens: none` is for `mode: 2d`; positions need every atom")
        return self

    @model_validator(mode="after")
    def _no_key_without_effect(self) -> "MoleculesData":
        if self.mode == "2d":
            refuse_changed(self, ["conformers"], "", "`mode: 2d` has no positions")
        if self.simulation is not None:
            names = ["mode", "hydrogens", "properties", "most_heavy_atoms", "largest_atoms"]
            names += ["on_fault", "conformers"]
            refuse_changed(self, names, "", "`simulation` makes one whole molecule in space")
        return self
