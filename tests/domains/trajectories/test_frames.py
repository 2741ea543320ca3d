import math

import pytest
import torch

from flowsci.domains.trajectories.frames import agent_frames, constant_velocity, relative_poses


def turned(positions: torch.Tensor, angle: float, shift: tuple[float, float]) -> torch.Tensor:
    """Turn about the vertical and shift."""
    c, s = math.cos(angle), math.sin(angle)
    matrix = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=positions.dtype)
    return positions @ matrix.T + torch.tensor([*shift, 0.0], dtype=positions.dtype)


def test_the_heading_is_the_first_axis():
    observed = torch.tensor([[[0.0, 0, 0], [0, 2, 1]]])
    frames = agent_frames(observed)
    assert torch.allclose(
        frames.turn_in(torch.tensor([[[0.0, 3, 1]]])), torch.tensor([[[3.0, 0, 1]]])
    )
    assert torch.allclose(
        frames.turn_out(torch.tensor([[[3.0, 0, 1]]])), torch.tensor([[[0.0, 3, 1]]])
    )


def test_turning_in_and_out_is_the_identity():
    generator = torch.Generator().manual_seed(0)
    observed = torch.randn(4, 5, 8, 3, generator=generator)
    vectors = torch.randn(4, 5, 12, 3, generator=generator)
    frames = agent_frames(observed)
    assert torch.allclose(frames.turn_out(frames.turn_in(vectors)), vectors, atol=1e-6)
    assert torch.allclose(frames.turn_in(vectors).norm(dim=-1), vectors.norm(dim=-1), atol=1e-5)


def test_who_stands_still_has_a_frame():
    frames = agent_frames(torch.ones(1, 3, 3))
    assert frames.heading.tolist() == [[1.0, 0.0]]
    assert torch.isfinite(frames.turn_in(torch.ones(1, 2, 3))).all()


def test_constant_velocity_goes_straight_on():
    line = torch.arange(20.0)[:, None] * torch.tensor([1.0, -2.0, 0.5])
    assert torch.allclose(constant_velocity(line[None, :8], 12)[0], line[8:])


@pytest.mark.parametrize("angle", [0.3, 2.0, -1.2])
def test_relative_poses_ignore_where_the_scene_is_and_looks(angle):
    observed = torch.randn(2, 4, 8, 3, generator=torch.Generator().manual_seed(1)).double()
    before = relative_poses(agent_frames(observed))
    after = relative_poses(agent_frames(turned(observed, angle, (30.0, -7.0))))
    assert torch.allclose(before, after, atol=1e-10)
    assert not torch.allclose(before, before.transpose(1, 2))


def test_only_who_never_moved_tells_how_a_scene_is_turned():
    observed = torch.randn(1, 3, 8, 3, generator=torch.Generator().manual_seed(1)).double()
    stopped, never = observed.clone(), observed.clone()
    stopped[:, 1, 2:] = stopped[:, 1, 2:3]
    never[:, 1] = never[:, 1, :1]
    change = [
        relative_poses(agent_frames(turned(scene, 0.4, (30.0, -7.0))))
        - relative_poses(agent_frames(scene))
        for scene in (stopped, never)
    ]
    assert change[0].abs().max() < 1e-10
    differs = change[1].abs().amax(-1)[0] > 1e-3
    assert differs.tolist() == [[False, True, False], [True, False, True], [False, True, False]]
