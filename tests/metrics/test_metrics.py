"""Metrics of generated samples against what is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import gaussian_kde
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score

import divkit as dk
from divkit.metrics import (
    c2st,
    frechet,
    grid,
    kde_bandwidth,
    kde_log_likelihood,
    kid,
    modes,
    neighbourhoods,
    ring,
    swiss_roll,
    train_features,
)
from divkit.models import load


def normal(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_all_modes_of_the_truth() -> None:
    for mixture, count in ((ring(), 8), (grid(), 25)):
        x = mixture.sample(2500, torch.Generator().manual_seed(0))
        found = modes(x, mixture)
        assert found.found == count == len(found.counts)
        assert abs(found.quality - (1 - math.exp(-4.5))) < 5 * math.sqrt(0.011 / 2500)  # |N(0, I₂)| < 3
        assert 0 <= found.reverse_kl < 5 * count / 2500


def test_modes_that_are_missing_or_poor() -> None:
    x = torch.cat([ring().sample(500, torch.Generator().manual_seed(0)).clamp(min=0.5), torch.zeros(100, 2)])
    found = modes(x, ring())
    assert found.found == 0 or found.quality < 0.5
    one = modes(torch.tensor([[1.0, 0.0]]).expand(50, 2), ring())
    assert (one.found, one.quality) == (1, 1.0)
    assert one.reverse_kl == pytest.approx(math.log(8))
    assert modes(torch.tensor([[1.0, 0.0], [1.02, 0.0]]), ring(), within=1.0, fewest=1)[:2] == (1, 0.5)
    none = modes(torch.zeros(10, 2), ring())
    assert (none.found, none.quality, none.reverse_kl) == (0, 0.0, math.inf)


def test_swiss_roll_is_two_units_wide() -> None:
    x = swiss_roll(5000, torch.Generator().manual_seed(0))
    assert 1.5 < float(x.abs().max()) < 2.3


def test_kde_is_that_of_scipy() -> None:
    y, x = normal(200, 2, 0).double(), normal(50, 2, 1).double()
    scipy = gaussian_kde(y.T.numpy(), bw_method=lambda _: 1.0)
    white = torch.linalg.cholesky(torch.from_numpy(np.linalg.inv(np.cov(y.T.numpy()))))
    found = kde_log_likelihood(x @ white, y @ white, 1.0) + torch.linalg.slogdet(white)[1]
    assert np.allclose(found, scipy.logpdf(x.T.numpy()))
    assert kde_bandwidth(x, y) in (0.3, 0.5)
    with pytest.raises(ValueError, match="must be the same"):
        kde_log_likelihood(x, y[:, :1], 1.0)
    with pytest.raises(ValueError, match="bandwidth"):
        kde_log_likelihood(x, y, 0.0)


def test_neighbourhoods_tell_dropping_from_inventing() -> None:
    real = torch.cat([normal(300, 2, 0), normal(300, 2, 1) + 20])
    both = neighbourhoods(real, torch.cat([normal(300, 2, 2), normal(300, 2, 3) + 20]))
    assert min(both) > 0.8
    dropped = neighbourhoods(real, normal(600, 2, 2))
    assert dropped.precision > 0.9
    assert dropped.recall == pytest.approx(0.5, abs=0.05)
    assert dropped.coverage < 0.52
    invented = neighbourhoods(real, torch.cat([normal(300, 2, 2), normal(300, 2, 3) - 50]))
    assert invented.precision == pytest.approx(0.5, abs=0.05)
    assert invented.density < 0.8


def test_neighbourhoods_by_definition() -> None:
    a, b = normal(40, 3, 0).double(), normal(30, 3, 1).double() + 0.5
    k = 4
    found = neighbourhoods(a, b, k)
    ra = [sorted(float((p - q).norm()) for q in a)[k] for p in a]
    rb = [sorted(float((p - q).norm()) for q in b)[k] for p in b]
    inside = [[float((p - q).norm()) <= r for p, r in zip(a, ra)] for q in b]
    assert found.precision == pytest.approx(np.mean([any(row) for row in inside]))
    assert found.density == pytest.approx(np.mean([sum(row) for row in inside]) / k)
    assert found.coverage == pytest.approx(np.mean(np.any(np.array(inside), 0)))
    assert found.recall == pytest.approx(np.mean([any(float((p - q).norm()) <= r for q, r in zip(b, rb)) for p in a]))


def test_neighbourhoods_refuse() -> None:
    with pytest.raises(ValueError, match="a minimum of 6 is required"):
        neighbourhoods(normal(5, 2, 0), normal(50, 2, 1))
    with pytest.raises(ValueError, match="must be the same"):
        neighbourhoods(normal(50, 2, 0), normal(50, 3, 1))


def test_c2st_is_half_where_nothing_differs() -> None:
    same = c2st(normal(500, 3, 0), normal(700, 3, 1))
    assert abs(same.value - 0.5) < 4 * same.stderr  # fails by chance about once in 10⁴
    assert same.stderr == pytest.approx(0.5 / math.sqrt(1000), rel=0.02)
    assert float(c2st(normal(200, 3, 0), normal(200, 3, 1) + 2)) > 0.85
    with pytest.raises(ValueError, match="a minimum of 10 is required: x and y for 5 folds"):
        c2st(normal(9, 2, 0), normal(9, 2, 1))


def test_accuracy_is_that_of_scikit_learns_cross_validation() -> None:
    """Its folds weigh the same, though their sizes differ."""
    x, y = normal(53, 2, 0), normal(60, 2, 1) + 0.7
    order = StratifiedKFold(5, shuffle=True, random_state=3)
    rows = torch.cat([x, y[:53]]).numpy()
    scores = cross_val_score(HistGradientBoostingClassifier(random_state=3), rows, np.repeat([0, 1], 53), cv=order)
    assert c2st(x, y, seed=3).value == pytest.approx(scores.mean(), rel=1e-12)


def test_frechet_is_buress_distance() -> None:
    x, y = normal(4000, 3, 0).double(), 2 * normal(4000, 3, 1).double() + 1
    distance = frechet(x, y)
    assert distance.value == pytest.approx(6.0, abs=4 * distance.stderr)  # 3·1 + 3·(2 − 1)²
    p, q = (torch.distributions.MultivariateNormal(z.mean(0), torch.cov(z.T)) for z in (x, y))
    assert distance.value == pytest.approx(dk.exact("w2", p, q), rel=1e-6)
    for ours, name in ((distance, "fid"), (kid(x, y), "kid")):
        theirs = dk.estimate(name, x, y)
        assert (ours.name, ours.value, ours.stderr) == (name, theirs.value, theirs.stderr)


def test_whatever_holds_samples_is_taken() -> None:
    """Tensors, arrays, lists, frames and measures give the same numbers."""
    x, y = normal(40, 2, 0).double(), normal(50, 2, 1).double() + 1
    metrics: tuple[Callable[..., object], ...] = (
        *(lambda a, b: c2st(a, b).value, lambda a, b: frechet(a, b).value, lambda a, b: kid(a, b).value),
        *(neighbourhoods, lambda a, b: kde_log_likelihood(a, b, 0.3).tolist(), lambda a, _: modes(a, ring())[:3]),
    )
    for metric in metrics:
        expected = metric(x, y)
        for form in (torch.Tensor.numpy, torch.Tensor.tolist, dk.Measure):
            assert metric(form(x), form(y)) == expected
    frames = [pd.DataFrame(points.numpy(), columns=["a", "b"]) for points in (x, y)]
    assert kid(*frames).value == kid(x, y).value
    assert neighbourhoods(*frames) == neighbourhoods(x, y)
    assert modes(frames[0], ring()).quality == modes(x, ring()).quality


@pytest.mark.parametrize("metric", [c2st, neighbourhoods, lambda x, y: kde_log_likelihood(x, y, 1.0)])
@pytest.mark.parametrize("extra", [{"weights": np.arange(50)}, {"groups": np.arange(50)}])
def test_what_counts_of_rows_do_not_heed_is_refused(metric: Callable[..., object], extra: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="y has weights or groups, which this metric would not heed"):
        metric(normal(50, 2, 0), dk.Measure(normal(50, 2, 1), **extra))


def test_features_classify_digits() -> None:
    digits = load("digits")
    assert digits.labels is not None
    features = train_features((digits.train, digits.test), digits.labels, steps=300)
    again = train_features((digits.train, digits.test), digits.labels, steps=300)
    assert features.accuracy > 0.9
    assert features.digest == again.digest
    f, g = features(digits.test[:180]), features(digits.test[180:])
    assert f.shape == (180, 64)
    distance = kid(f, g)
    assert abs(distance.value) < 4 * distance.stderr + 0.05
    noise = features(torch.rand(180, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert frechet(f, noise).value > 3 * frechet(f, g).value
