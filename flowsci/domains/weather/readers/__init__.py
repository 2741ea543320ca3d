"""Readers: from files to raw fields."""

from collections.abc import Sequence
from pathlib import Path

from flowsci.domains.weather.data_settings import SimulatedFields, WeatherData
from flowsci.domains.weather.raw import RawFields
from flowsci.settings import StoreSource


def read(files: Sequence[Path], settings: WeatherData) -> RawFields:
    """Read the fields that the dataset file asks for."""
    if isinstance(settings.fields, SimulatedFields):
        from flowsci.domains.weather.readers.simulated import read_simulated

        return read_simulated(files)
    from flowsci.domains.weather.readers.store import read_store

    source = settings.source
    address = source.address if isinstance(source, StoreSource) else None
    return read_store(files, settings.fields, address)
