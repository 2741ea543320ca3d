import math

import pytest
import torch
from scipy.special import i0

from flowsci.errors import FlowsciError
from flowsci.flow import FlowMatching, Likelihood, sample_generators
from flowsci.flow.fields import NetworkField
from flowsci.flow.paths import Linear
from flowsci.flow.torus import TURN, Circular, nearest, wound


def test_winding_keeps_angles():
    angles = torch.linspace(-20, 20, 1001, dtype=torch.float64)
    found = wound(angles)
    assert (found >= -math.pi).all()
    assert (found < math.pi).all()
    torch.testing.assert_close(found.sin(), angles.sin())
    torch.testing.assert_close(found.cos(), angles.cos())


def test_a_path_takes_the_short_way_around_and_leaves_other_entries_alone():
    x0 = torch.tensor([[3.0, 5.0], [-3.0, 5.0]])
    x1 = torch.tensor([[-3.0, -9.0], [2.0, -9.0]])
    aim = nearest(x0, x1, 1)
    torch.testing.assert_close(aim[:, 0], torch.tensor([TURN - 3.0, 2.0 - TURN]))
    assert torch.equal(aim[:, 1], x1[:, 1])
    assert ((aim - x0)[:, 0].abs() <= math.pi).all()


def test_samples_do_not_depend_on_their_batch_and_have_the_law_that_the_density_says():
    source, like = Circular(2), torch.zeros(4000, 3)
    x = source.sample(like, sample_generators(0, range(4000)))
    torch.testing.assert_close(x[7:9], source.sample(like[:2], sample_generators(0, [7, 8])))
    assert x[:, :2].abs().max() <= math.pi
    assert x[:, :2].cos().mean(0).abs().max() < 0.05
    assert abs(float(x[:, 2].std()) - 1) < 0.05
    normal = -0.5 * x[:, 2] ** 2 - 0.5 * math.log(TURN)
    torch.testing.assert_close(source.log_density(x), normal - 2 * math.log(TURN))


def test_masks_and_states_with_too_few_entries_are_refused():
    with pytest.raises(FlowsciError, match="angles"):
        Circular(3).sample(torch.zeros(2, 2), sample_generators(0, [0, 1]))
    with pytest.raises(FlowsciError, match="mask"):
        Circular(1).log_density(torch.zeros(2, 2), torch.ones(2, 2, dtype=torch.bool))


def test_the_density_of_a_flow_on_a_circle_is_known_in_closed_form():
    """dx/dt = a sin x takes the uniform law to a wrapped Cauchy law."""
    a = 0.8
    field = NetworkField(lambda x, t, condition: -a * x.sin(), Linear())
    likelihood = Likelihood(field, Circular(1))
    x = torch.linspace(-3.1, 3.1, 50, dtype=torch.float64)[:, None]
    r = math.tanh(a / 2)
    true = torch.log((1 - r**2) / (TURN * (1 + r**2 - 2 * r * x[:, 0].cos())))
    with torch.no_grad():
        torch.testing.assert_close(likelihood.log_density(x), true, rtol=0, atol=1e-6)


def test_a_field_learns_a_von_mises_law_and_its_density():
    torch.manual_seed(0)
    kappa, data = 2.0, torch.distributions.VonMises(2.5, 2.0).sample((4000, 1))
    network = torch.nn.Sequential(
        torch.nn.Linear(7, 48),
        torch.nn.SiLU(),
        torch.nn.Linear(48, 48),
        torch.nn.SiLU(),
        torch.nn.Linear(48, 1),
    )

    def velocity(x, t, condition=None):
        waves = torch.cat(
            [(k * x).sin() for k in (1, 2, 3)] + [(k * x).cos() for k in (1, 2, 3)], 1
        )
        return network(torch.cat([waves, t[:, None]], 1))

    source, generator = Circular(1), torch.Generator().manual_seed(0)
    objective = FlowMatching(source=source)
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(400):
        x1 = data[torch.randint(len(data), (512,), generator=generator)]
        x0 = source.sample(x1, generator)
        loss = objective(velocity, nearest(x0, x1, 1), generator, x0=x0)
        optimiser.zero_grad()
        loss.value.backward()
        optimiser.step()
    angles = torch.linspace(-math.pi, math.pi, 73)[:-1, None]
    with torch.no_grad():
        likelihood = Likelihood(NetworkField(velocity, Linear()), source)
        found = likelihood.log_density(angles)
    assert abs(float(found.exp().mean()) * TURN - 1) < 5e-3
    true = kappa * torch.cos(angles[:, 0] - 2.5) - math.log(TURN * i0(kappa))
    assert float((found - true)[true > -3].abs().max()) < 0.3
