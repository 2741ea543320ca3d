"""The closed-form density against its definition, quadrature and its own draws."""

import math

import pytest
import torch

from flowsci.domains.trajectories.basis import OffsetBasis
from flowsci.domains.trajectories.density import FutureDensity
from flowsci.domains.trajectories.frames import agent_frames
from flowsci.flow import sample_generators

STEPS, MODES, STYLES, DESCRIBED = 3, 4, 2, 3
SCENE = (0, 0, 0, 5, 5)


def make(axes: int = 2, dtype: torch.dtype = torch.float64) -> FutureDensity:
    """Two scenes, of three and two agents."""
    generator = torch.Generator().manual_seed(3)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    size, rows = STEPS * axes, len(SCENE)
    components = torch.linalg.qr(random(size, size))[0].reshape(size, STEPS, axes)
    scale = 0.2 + torch.linspace(1, 0.1, size, dtype=dtype)
    scene = torch.tensor(SCENE)
    style = random(2, STYLES).softmax(-1)[(scene > 0).long()]
    return FutureDensity(
        scene=scene,
        style_weight=style,
        mode_weight=(2 * random(rows, MODES, STYLES)).softmax(1),
        mean=random(rows, MODES, DESCRIBED),
        scale=random(rows, MODES, DESCRIBED).exp() / 3,
        rest_scale=random(rows, size - DESCRIBED).exp(),
        frames=agent_frames(random(rows, 4, axes)),
        basis=OffsetBasis(
            random(STEPS, axes) / 3, components, scale, torch.tensor(1.0), torch.tensor(0.3)
        ),
    )


def futures(density: FutureDensity, count: int) -> torch.Tensor:
    return density.draw(count, sample_generators(0, range(2)))[0]


def plain_log_density(density: FutureDensity, row: int, position: torch.Tensor) -> list:
    """Give log N of each mode of one agent at one future, in positions, by its definition."""
    basis, frames = density.basis, density.frames
    unit = frames.pace[row] + basis.floor
    matrix = unit * basis.components.flatten(1).T * basis.scale
    cosine, sine = frames.heading[row]
    turn = torch.eye(position.shape[-1], dtype=position.dtype)
    turn[:2, :2] = torch.stack([torch.stack([cosine, -sine]), torch.stack([sine, cosine])])
    turns = torch.block_diag(*[turn] * STEPS)
    lead = torch.arange(1, STEPS + 1)[:, None]
    straight = (frames.origin[row] + lead * frames.velocity[row]).flatten()
    results = []
    for mean, scale in zip(density.mean[row], density.scale[row], strict=True):
        whole_mean = torch.zeros(len(matrix), dtype=position.dtype)
        whole_mean[:DESCRIBED] = mean
        whole_scale = torch.cat([scale, density.rest_scale[row]])
        loc = straight + turns @ (matrix @ whole_mean + unit * basis.mean.flatten())
        factor = turns @ matrix @ whole_scale.diag()
        normal = torch.distributions.MultivariateNormal(loc, factor @ factor.T)
        results.append(normal.log_prob(position.flatten()))
    return results


@pytest.mark.parametrize("axes", [2, 3])
def test_density_is_that_of_the_definition(axes):
    density = make(axes)
    positions = futures(density, 2)
    per_agent = density.log_density(positions)
    joint = dict.fromkeys((0, 5))
    for number in joint:
        rows = (density.scene == number).nonzero().squeeze(1)
        modes = torch.stack(
            [torch.stack(plain_log_density(density, int(r), positions[r, 1])) for r in rows]
        )
        styles = (modes.unsqueeze(-1) + density.mode_weight[rows].log()).logsumexp(1)
        weight = density.style_weight[rows]
        joint[number] = (styles.sum(0) + weight[0].log()).logsumexp(0)
        alone = (styles + weight.log()).logsumexp(-1)
        torch.testing.assert_close(per_agent[rows, 1], alone)
    numbers, values = density.joint_log_density(positions)
    assert numbers.tolist() == [0, 5]
    torch.testing.assert_close(values[:, 1], torch.stack(list(joint.values())))


def test_the_density_of_a_step_integrates_to_one():
    density = make().select(torch.tensor([0, 4]))
    weights, means, covariances = density.marginals()
    assert weights.sum(-1).tolist() == pytest.approx([1, 1])
    reach = 8 * covariances.diagonal(dim1=-2, dim2=-1).sqrt().amax() + means.abs().amax()
    line = torch.linspace(-float(reach), float(reach), 301, dtype=means.dtype)
    grid = torch.cartesian_prod(line, line)
    points = grid[None, :, None].expand(2, -1, STEPS, -1)
    mass = density.step_log_density(points).exp().sum(1) * (line[1] - line[0]) ** 2
    torch.testing.assert_close(mass, torch.ones_like(mass), atol=1e-6, rtol=0)


@pytest.mark.parametrize("axes", [2, 3])
def test_draws_have_the_moments_of_the_marginals(axes):
    density = make(axes)
    positions = futures(density, 20_000)
    weights, means, covariances = density.marginals()
    mean = (weights[..., None, None] * means).sum(1)
    second = covariances + (means - mean.unsqueeze(1)).unsqueeze(-1) * (
        means - mean.unsqueeze(1)
    ).unsqueeze(-2)
    covariance = (weights[..., None, None, None] * second).sum(1)
    away = positions - positions.mean(1, keepdim=True)
    found = torch.einsum("rnsd,rnse->rsde", away, away) / 20_000
    size = covariance.diagonal(dim1=-2, dim2=-1).sqrt()
    assert ((positions.mean(1) - mean) / size).abs().max() < 0.04
    both = size.unsqueeze(-1) * size.unsqueeze(-2)
    assert ((found - covariance) / both).abs().max() < 0.08


def test_draws_of_a_scene_share_its_style():
    """With one mode a style, agents move together: both in mode 0, or both in mode 1."""
    density = make().select(torch.tensor([3, 4]))
    eye = torch.eye(2, dtype=torch.float64).expand(2, 2, 2)
    half = torch.full((2, 2), 0.5, dtype=torch.float64)
    mean = density.mean[:, :2].clone()
    mean[:, 0, 0], mean[:, 1, 0] = -100.0, 100.0
    parts = {"mode_weight": eye, "style_weight": half, "mean": mean}
    joint = FutureDensity(**{**vars(density), **parts, "scale": density.scale[:, :2]})
    positions, alone, together = joint.draw(400, sample_generators(1, [0]))
    sign = joint.basis.encode(joint.frames.unsqueeze(1), positions, 1)[..., 0].sign()
    assert (sign[0] == sign[1]).all()
    assert 140 < (sign[0] > 0).sum() < 260
    # knowing one agent's mode tells the other's: one bit
    information = (together[0] - alone.sum(0)).mean()
    assert information == pytest.approx(math.log(2), abs=1e-9)


def test_the_density_moves_and_turns_with_the_scene():
    density = make()
    positions = futures(density, 3)
    angle = torch.tensor(0.7, dtype=torch.float64)
    turn = torch.tensor([[angle.cos(), angle.sin()], [-angle.sin(), angle.cos()]])
    turn = turn.to(positions)
    frames = density.frames
    turned = type(frames)(
        frames.origin @ turn + 3, frames.heading @ turn, frames.velocity @ turn, frames.pace
    )
    moved = FutureDensity(**{**vars(density), "frames": turned})
    torch.testing.assert_close(
        moved.log_density(positions @ turn + 3), density.log_density(positions)
    )
    torch.testing.assert_close(
        moved.step_log_density(positions @ turn + 3), density.step_log_density(positions)
    )


def test_a_draw_depends_on_its_scene_s_generator_alone():
    density = make()
    whole = density.draw(5, sample_generators(0, [7, 9]))[0]
    alone = density.select(density.scene == 5).draw(5, sample_generators(0, [9]))[0]
    torch.testing.assert_close(whole[3:], alone)


def test_a_draw_depends_on_its_own_generator_alone():
    density = make()
    generators = sample_generators(0, range(10))
    whole = density.draw(5, [generators[:5], generators[5:]])[0]
    alone = density.draw(1, [sample_generators(0, [3]), sample_generators(0, [8])])[0]
    torch.testing.assert_close(whole[:, 3:4], alone)
