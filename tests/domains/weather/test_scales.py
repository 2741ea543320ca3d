import numpy as np
import pytest

from flowsci.domains.weather.prepare import assemble
from flowsci.domains.weather.scales import check_fields
from flowsci.errors import FlowsciError
from tests.domains.weather.sets import SETTINGS, raw_fields


def statistics(factor=1.0, shift=0.0, channels=3, **changes):
    raw = raw_fields()[0]
    raw.fields[:, 0] = raw.fields[:, 0] * factor + shift
    raw.fields, raw.channels = raw.fields[:, :channels], raw.channels[:channels]
    return assemble(raw, SETTINGS).statistics | changes


@pytest.fixture(scope="module")
def known():
    return statistics()


def test_the_same_and_a_like_climate_pass(known):
    check_fields(known, known)
    check_fields(statistics(shift=0.2), known)


def test_another_climatology_of_the_same_mean_and_spread_is_named(known):
    season = np.array([1.0, 0.0, -1.0, 0.0])[:, None] * known["anomaly_spread"][0]
    climate = np.array(known["climate"])
    climate[0] += season
    with pytest.raises(FlowsciError, match=r"temperature_850: the climatology .* by 0\.71 spreads"):
        check_fields(known | {"climate": climate.tolist()}, known)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shift": -273.15}, "temperature_850: .* Its units or its climate are others"),
        ({"factor": 0.01}, "temperature_850: the model was trained on a mean of 2"),
        (
            {"channels": 1},
            r"channels temperature_850, u_wind.*; this dataset has temperature_850\.",
        ),
        (
            {"latitude": np.linspace(-78.75, 78.75, 8).tolist()},
            r"a grid \(gaussian, 8 x 16, -7.* this dataset's is \(regular, 8 x 16, -78.75 to",
        ),
        (
            {"longitude": (np.arange(16) * 22.5 + 1).tolist()},
            r"gaussian, .* this dataset's is .* 1 to 338.5 E\). Interpolate the dataset",
        ),
    ],
)
def test_other_fields_are_named(known, changes, message):
    with pytest.raises(FlowsciError, match=message):
        check_fields(statistics(**changes), known)


def test_channels_of_another_order_or_unit_are_named(known):
    first, *others = known["channels"]
    with pytest.raises(FlowsciError, match=r"in the same order in fields\.variables"):
        check_fields({**known, "channels": [*others, first]}, known)
    with pytest.raises(FlowsciError, match=r"temperature_850: .* in 'K'; this dataset has 'degC'"):
        check_fields({**known, "channels": [{**first, "units": "degC"}, *others]}, known)
