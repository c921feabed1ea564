"""Clusters: of equal size, of near points, whatever the points."""

from __future__ import annotations

import pytest
import torch

from divkit.pairs.clusters import clusters
from divkit.transport.problem import Cloud


@pytest.mark.parametrize("n", [256, 300, 1000])
@pytest.mark.parametrize("d", [1, 3, 20])
def test_they_are_of_equal_size_and_of_near_points(n: int, d: int) -> None:
    points = torch.randn(n, d, generator=torch.Generator().manual_seed(0))
    label = clusters(points, 6)
    sizes = label.bincount(minlength=64)
    assert int(sizes.max()) - int(sizes.min()) <= 1
    means = torch.zeros(64, d).index_add_(0, label, points) / sizes[:, None]
    within, total = (points - means[label]).square().sum(), points.square().sum()
    assert float(within / total) < (0.01 if d == 1 else 0.25 if d == 3 else 0.85)


def test_in_one_dimension_they_are_intervals() -> None:
    points = torch.randn(100, 1, generator=torch.Generator().manual_seed(0))
    assert clusters(points, 3)[points[:, 0].argsort()].diff().min() >= 0


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
def test_coincident_and_wide_points_are_cut_as_well(scale: float) -> None:
    points = scale * torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    assert clusters(points, 4).bincount(minlength=16).tolist() == [4] * 16


def test_a_coarse_cloud_has_the_mass_and_the_mean() -> None:
    g = torch.Generator().manual_seed(0)
    points, weights = torch.randn(2000, 3, generator=g, dtype=torch.float64), torch.rand(2000, generator=g, dtype=torch.float64)
    weights[:1500] *= torch.arange(1500) % 3 > 0  # some without weight
    coarse = Cloud(points, weights.log()).coarse
    assert len(coarse.points) == 512
    assert float(coarse.weights.sum()) == pytest.approx(float(weights.sum()), rel=1e-12)
    assert torch.allclose(coarse.weights @ coarse.points, weights @ points, rtol=1e-10)
    heavy = Cloud(points, torch.where(points[:, 0] > 2.5, 0.0, -torch.inf).double()).coarse  # whole clusters without weight
    assert bool(heavy.points.isfinite().all())
    assert float(heavy.weights.sum()) == float((points[:, 0] > 2.5).sum())
