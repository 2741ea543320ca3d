"""Files that the simulations of this domain have left."""

from collections.abc import Sequence
from pathlib import Path

from flowsci.domains.weather.grids import Grid
from flowsci.domains.weather.raw import RawFields
from flowsci.domains.weather.simulate import encoding, kolmogorov
from flowsci.errors import FlowsciError


def read_simulated(files: Sequence[Path]) -> RawFields:
    """Read the one file of a simulation."""
    if len(files) != 1:
        raise FlowsciError(
            f"fields.kind: 'simulated' needs the one file of a simulation, {len(files)} are given: "
            f"{', '.join(map(str, files)) or 'none'}. Name it in source, or read a store."
        )
    if kolmogorov.is_ours(files[0]):
        return kolmogorov.read(files[0])
    return _read_coefficients(files[0])


def _read_coefficients(path: Path) -> RawFields:
    decoded = encoding.read(path)
    return RawFields(
        fields=decoded["fields"].values,
        hours=decoded["time"].values,
        channels=tuple(encoding.channels_of(decoded.attrs)),
        grid=Grid.from_coordinates(decoded["latitude"].values, decoded["longitude"].values),
        orography=decoded["orography"].values,
        land=decoded["land"].values,
        simulation=decoded.attrs["simulation"],
        truncation=int(decoded.attrs["l_max"]),
    )
