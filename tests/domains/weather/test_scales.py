import pytest

from flowsci.domains.weather.batches import WeatherConditions
from flowsci.domains.weather.prepare import assemble
from flowsci.domains.weather.scales import check_scale
from flowsci.domains.weather.settings import WeatherSampling
from flowsci.errors import FlowsciError
from tests.domains.weather.sets import SETTINGS, raw_fields


def batch_of(factor=1.0, shift=0.0, channels=3):
    raw = raw_fields()[0]
    raw.fields[:, 0] = raw.fields[:, 0] * factor + shift
    raw.fields, raw.channels = raw.fields[:, :channels], raw.channels[:channels]
    prepared = assemble(raw, SETTINGS)
    return WeatherConditions(prepared, WeatherSampling(samples=1, steps=1)).batch([0]), prepared


def test_the_same_and_a_like_climate_pass():
    batch, prepared = batch_of()
    check_scale(batch, prepared.statistics)
    check_scale(batch_of(shift=0.5)[0], prepared.statistics)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shift": -273.15}, "temperature_850: .* Its units or its climate are others"),
        ({"factor": 0.01}, "temperature_850: the model was trained on a mean of 2"),
        ({"channels": 1}, "trained on 3 channels; this dataset has 1"),
    ],
)
def test_other_units_are_named(changes, message):
    statistics = batch_of()[1].statistics
    with pytest.raises(FlowsciError, match=message):
        check_scale(batch_of(**changes)[0], statistics)
