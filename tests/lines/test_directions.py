"""Directions: unit, orthogonal in groups, and how many an error needs."""

from __future__ import annotations

import torch

from divkit.lines.directions import directions, too_few


def test_groups_are_orthonormal() -> None:
    theta = directions(7, 3, 0, torch.zeros(1).double())
    for group in theta.split(3):
        assert torch.allclose(group @ group.T, torch.eye(len(group)).double(), atol=1e-12)
    assert not torch.equal(theta, directions(7, 3, 1, theta))


def test_too_few_are_named_unless_there_is_one_direction_only() -> None:
    assert too_few(4, 2) == "no standard error from 4 projection(s); a minimum of 5 is required"
    assert too_few(5, 2) == too_few(1, 1) == too_few(4, 2, minimum=3) == ""
