"""Settings of what molecules are asked for: counts, properties, formulas, graphs, fragments."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, Tag, model_validator
from pydantic.types import Discriminator

from flowsci.domains.molecules.equilibrium.settings import EquilibriumConditions
from flowsci.settings import Section, Split, kind_of, refuse_changed

Property = Literal["mu", "alpha", "homo", "lumo", "gap", "cv"]


class CountConditions(Section):
    """Nothing is asked for but a number of atoms: as in training, or the same for all."""

    kind: Literal["counts"] = "counts"
    molecules: int = Field(gt=0, description="Number of conditions.")
    atoms: int | None = Field(
        None, gt=0, description="Atoms of each; without it drawn from the training molecules."
    )


class PropertyConditions(Section):
    """Properties that molecules of a split have, or values that are the same for all."""

    kind: Literal["properties"] = "properties"
    molecules: int = Field(gt=0, description="Number of conditions.")
    names: list[Property] = Field(min_length=1, description="Properties that are asked for.")
    values: list[float] | None = Field(
        None, description="A value each, in the dataset's units; without it those of molecules."
    )
    split: Split = Field("test", description="Split whose molecules give the values.")

    @model_validator(mode="after")
    def _a_value_each(self) -> "PropertyConditions":
        if self.values is not None and len(self.values) != len(self.names):
            raise ValueError(f"{len(self.names)} names need as many values, not {self.values}")
        if self.values is not None:
            refuse_changed(self, ["split"], "", "`values` say what is asked for")
        return self


class CompositionConditions(Section):
    """Numbers of atoms of each element, as formulas."""

    kind: Literal["composition"] = "composition"
    formulas: list[str] = Field(min_length=1, description="Formulas such as C7H10O2.")


class SmilesConditions(Section):
    """Molecules whose conformers are wanted."""

    kind: Literal["smiles"] = "smiles"
    smiles: list[str] = Field([], description="SMILES of the molecules.")
    split: Split | None = Field(None, description="Take the molecules of this split instead.")
    molecules: int | None = Field(None, gt=0, description="As many of the split, evenly spaced.")

    @model_validator(mode="after")
    def _one_origin(self) -> "SmilesConditions":
        if bool(self.smiles) == (self.split is not None):
            raise ValueError("give either smiles or split")
        if self.split is None:
            refuse_changed(self, ["molecules"], "", "it chooses among those of a `split`")
        return self


class ScaffoldConditions(Section):
    """Fragments that every sample contains exactly, as given."""

    kind: Literal["scaffold"] = "scaffold"
    fragments: Path | None = Field(None, description="SDF file of fragments with positions.")
    split: Split | None = Field(
        None, description="Take ring systems of this split's molecules instead."
    )
    molecules: int | None = Field(None, gt=0, description="As many of the split, evenly spaced.")
    atoms: int | None = Field(
        None, gt=0, description="Atoms of the whole molecule; without it drawn, or free."
    )

    @model_validator(mode="after")
    def _one_origin(self) -> "ScaffoldConditions":
        if (self.fragments is None) == (self.split is None):
            raise ValueError("give either fragments or split")
        if self.split is None:
            refuse_changed(self, ["molecules"], "", "it chooses among those of a `split`")
        return self


ConditionSettings = Annotated[
    Annotated[CountConditions, Tag("counts")]
    | Annotated[PropertyConditions, Tag("properties")]
    | Annotated[CompositionConditions, Tag("composition")]
    | Annotated[SmilesConditions, Tag("smiles")]
    | Annotated[ScaffoldConditions, Tag("scaffold")]
    | Annotated[EquilibriumConditions, Tag("equilibrium")],
    Discriminator(kind_of("counts")),
]
