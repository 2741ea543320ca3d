import pytest
import torch
from catalogue import PLAIN_PATHS, name
from laws import DOUBLE, gaussian, mixture, normals

from flowsci.errors import FlowsciError
from flowsci.flow import (
    DDIM,
    CentredField,
    CleanPrediction,
    EnergyGuidance,
    Linear,
    MaskedField,
    NetworkField,
    NoisePrediction,
    Repathed,
    StudentT,
    TwoSidedNoise,
    VelocityPrediction,
    solve,
)
from flowsci.flow.grids import uniform


def test_a_network_is_called_with_state_times_and_condition():
    seen = []

    def network(x, t, condition):
        seen.append((x.shape, t.shape, condition))
        return x

    x = torch.zeros(4, 2)
    prediction = NetworkField(network, Linear(), CleanPrediction)(x, torch.zeros(4), "known")
    assert seen == [((4, 2), (4,), "known")]
    assert isinstance(prediction, CleanPrediction)
    assert prediction.clean is x


@pytest.mark.parametrize("time", [0.0, 0.2, 0.7, 1.0])
@pytest.mark.parametrize("new", PLAIN_PATHS, ids=name)
@pytest.mark.parametrize("old", PLAIN_PATHS, ids=name)
@pytest.mark.parametrize("make", [gaussian, mixture])
def test_a_changed_path_gives_the_field_of_the_new_path(make, old, new, time):
    t = torch.full((5,), time, dtype=DOUBLE)
    x = normals(5)
    found, wanted = Repathed(make(old), old, new)(x, t), make(new)(x, t)
    for quantity in ("velocity", "clean", "noise"):
        torch.testing.assert_close(
            getattr(found, quantity), getattr(wanted, quantity), rtol=1e-6, atol=1e-6
        )
    if time < 1:
        torch.testing.assert_close(found.score, wanted.score, rtol=1e-6, atol=1e-6)


def test_a_path_with_latent_noise_can_not_be_changed():
    with pytest.raises(FlowsciError, match="latent noise"):
        Repathed(gaussian(), TwoSidedNoise(), Linear())


@pytest.mark.parametrize("kind", [VelocityPrediction, CleanPrediction, NoisePrediction])
def test_centred_and_masked_fields_keep_centre_and_padding(kind):
    mask = torch.arange(5) < torch.tensor([2, 5, 3])[:, None]
    x = torch.randn(3, 5, 3, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    x = CentredField(lambda x, t, c: kind(x, x, t, Linear()), mask)(x, torch.zeros(3)).value
    field = NetworkField(lambda x, t, c: torch.sin(x) + 3, Linear(), kind)
    t = torch.full((3,), 0.5, dtype=DOUBLE)
    centred, padded = CentredField(field, mask)(x, t), MaskedField(field, mask)(x, t)
    for quantity in ("velocity", "clean", "noise"):
        value = getattr(centred, quantity)
        assert (value[~mask] == 0).all()
        assert value.sum(1).abs().max() < 1e-14
        assert (getattr(padded, quantity)[~mask] == 0).all()
    torch.testing.assert_close(padded.value[mask], field(x, t).value[mask])


def test_a_source_that_is_not_gaussian_hides_the_score_only():
    field = NetworkField(lambda x, t, c: x, Linear(), source=StudentT(4.0))
    x, t = torch.ones(3, 2), torch.full((3,), 0.5)
    assert torch.equal(field(x, t).velocity, x)
    with pytest.raises(FlowsciError, match="not Gaussian"):
        field(x, t).score  # noqa: B018
    energy = EnergyGuidance(field, lambda clean, t, c: clean.sum(1))
    with pytest.raises(FlowsciError, match="not Gaussian"):
        energy(x, t)
    with pytest.raises(FlowsciError, match="not Gaussian"):
        solve(field, x, uniform(2), DDIM(), generators=torch.Generator())


@pytest.mark.parametrize("kind", [MaskedField, CentredField])
def test_a_field_with_an_empty_row_of_its_mask_is_refused(kind):
    field = NetworkField(lambda x, t, c: x, Linear())
    with pytest.raises(FlowsciError, match=r"no real entry in rows \[1\]"):
        kind(field, torch.tensor([[True, False], [False, False]]))
    with pytest.raises(FlowsciError, match="bool"):
        kind(field, torch.ones(2, 2))
