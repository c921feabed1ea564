"""Gaussian transport (Fréchet, FID), max-sliced transport and extrapolation."""

from __future__ import annotations

import pytest
import torch
from sklearn.covariance import ledoit_wolf
from torch import Tensor
from torch.distributions import MultivariateNormal
from traits import samples

import divkit as dk
from divkit.transport import Extrapolated, MaxSlicedWasserstein, PerDimension, SphereAscent, Wasserstein

F64 = torch.float64


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, dtype=F64, generator=torch.Generator().manual_seed(seed))


def frechet(a: Tensor, b: Tensor, gap: Tensor) -> float:
    roots = torch.linalg.eigvals(a @ b).real.clamp(min=0).sqrt()
    return float(gap.square().sum() + a.trace() + b.trace() - 2 * roots.sum())


def test_gaussian_w2_of_many_samples_is_the_laws() -> None:
    mix = torch.tensor([[1.0, 0.4, 0.0], [0.0, 0.8, 0.3], [0.2, 0.0, 1.5]], dtype=F64)
    x, y = normal(20_000, 3, 0) @ mix.T + 0.5, normal(20_000, 3, 1)
    truth = dk.exact(
        "gaussian-w2", MultivariateNormal(torch.full((3,), 0.5).double(), mix @ mix.T), MultivariateNormal(*identity(3))
    )
    e = dk.estimate("gaussian-w2", x, y)
    assert abs(e.value - truth) < 4 * e.stderr
    assert e.stderr < 0.05 * truth


def identity(d: int) -> tuple[Tensor, Tensor]:
    return torch.zeros(d, dtype=F64), torch.eye(d, dtype=F64)


def test_its_standard_error_is_the_spread_over_samples() -> None:
    """300 samples: the ratio of sd and mean stderr is within 15 % (three standard errors of an sd)."""
    estimates = [dk.estimate("gaussian-w2", 1.3 * normal(100, 2, 2 * k) + 0.5, normal(150, 2, 2 * k + 1)) for k in range(300)]
    spread = float(torch.tensor([e.value for e in estimates]).std())
    said = float(torch.tensor([e.stderr for e in estimates]).mean())
    assert spread == pytest.approx(said, rel=0.15)


def test_fewer_rows_than_columns_are_shrunk_as_scikit_learn_does() -> None:
    x, y = normal(20, 30, 0), 1.5 * normal(25, 30, 1)
    e = dk.estimate("fid", x, y)
    shrunk = [torch.from_numpy(ledoit_wolf(s.numpy())[0]) * len(s) / (len(s) - 1) for s in (x, y)]
    assert e.value == pytest.approx(frechet(*shrunk, x.mean(0) - y.mean(0)), rel=1e-9)
    assert "shrunk by" in e.notes["shrinkage"]
    assert "shrinkage" not in dk.estimate("fid", *samples()).notes
    assert e.stderr > 0


def test_a_column_without_spread_has_no_part() -> None:
    x, y = samples(d=2)
    constant = [torch.cat([s, torch.full((len(s), 1), 3.0, dtype=F64)], 1) for s in (x, y)]
    plain, more = dk.estimate("gaussian-w2", x, y), dk.estimate("gaussian-w2", *constant)
    assert more.value == pytest.approx(plain.value, rel=1e-9)
    assert more.stderr == pytest.approx(plain.stderr, rel=1e-9)


def test_max_sliced_sees_a_shift_that_random_directions_miss() -> None:
    """Fifty columns, a shift of one along the first: the shifted coordinate alone costs about .94."""
    x, y = normal(600, 50, 0), normal(600, 50, 1)
    x[:, 0] += 1
    e = dk.estimate("max-sliced-w2", x, y)
    along = float(dk.estimate("w2", x[:, 0], y[:, 0]).value)
    exact = dk.estimate("w2", x, y)
    assert along <= e.value <= exact.solution.upper
    assert e.solution.lower == pytest.approx(e.value, rel=1e-9)
    assert e.converged
    equal = dk.estimate("max-sliced-w2", normal(600, 50, 2), normal(600, 50, 3))
    assert 0 < equal.value < 0.5 * e.value


def test_an_ascent_may_end_early_and_says_so() -> None:
    x, y = samples(60, 80, 4)
    best = MaxSlicedWasserstein().estimate(x, y)
    loose = MaxSlicedWasserstein(ascent=SphereAscent(rise=1e-2)).estimate(x, y)
    assert loose.solution.steps < best.solution.steps
    assert 0.9 * best.value < loose.value <= best.value
    assert loose.settings == best.settings
    with pytest.warns(dk.ConvergenceWarning, match="step limit"):
        MaxSlicedWasserstein(ascent=SphereAscent(steps=1)).estimate(x, y)
    with pytest.raises(ValueError, match="steps must be a whole number"):
        SphereAscent(steps=0)


def test_no_direction_beats_the_direction_found() -> None:
    x, y = samples(60, 80, 4)
    divergence = MaxSlicedWasserstein()
    e = divergence.estimate(x, y)
    theta = e.solution.state["direction"]
    for k in range(50):
        near = theta + 10.0 ** -(k % 5) * normal(1, 4, k)[0]
        near = near / torch.linalg.vector_norm(near)
        assert dk.estimate("w2", x @ near, y @ near).value <= e.value * (1 + 1e-4)
    warm = divergence.solve(dk.Measure(x), dk.Measure(y), e.solution)
    assert warm.lower >= e.solution.lower * (1 - 1e-12)


def test_extrapolation_takes_most_of_the_bias() -> None:
    """W₂² of two standard normal samples in five dimensions, whose truth is zero: 40 samples of 120."""
    plain, less = [], []
    for k in range(40):
        x, y = normal(120, 5, 2 * k), normal(120, 5, 2 * k + 1)
        plain.append(Wasserstein(2).estimate(x, y).value)
        less.append(Extrapolated(Wasserstein(2)).estimate(x, y).value)
    assert abs(float(torch.tensor(less).mean())) < 0.15 * float(torch.tensor(plain).mean())


def test_extrapolation_of_an_unbiased_mean_changes_little_and_says_its_rate() -> None:
    x, y = normal(100, 5, 0) + 1, normal(80, 5, 1)
    e = Extrapolated(dk.get("w2"), rate=0.4, repeats=3).estimate(x, y)
    plain = dk.estimate("w2", x, y)
    assert e.notes["rate"] == 0.4
    assert e.notes["plug_in"] == pytest.approx(plain.value, rel=1e-12)
    assert e.notes["stderr_of_splits"] == e.noise > 0
    a, b = e.influence
    assert float(a.mean() + b.mean()) == pytest.approx(e.value, rel=1e-12)
    assert PerDimension(2.0).of(1) == 1.0
    assert Extrapolated(dk.get("w2")).estimate(x, y).notes["rate"] == 2 / 5
    assert Extrapolated(dk.get("w2")).name == "w2-extrapolated"


def test_extrapolation_is_differentiable_with_weights() -> None:
    x, y = samples(24, 30, 2)
    weight = torch.rand(24, dtype=F64, generator=torch.Generator().manual_seed(0))
    weight[3] = 0
    divergence = Extrapolated(Wasserstein(2))
    move = normal(24, 2, 5)

    def value(t: float) -> Tensor:
        return divergence.loss(dk.Measure(points + t * move, weight), y)

    points = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(value(0.0), points)
    change = float((value(1e-6) - value(-1e-6)).detach()) / 2e-6
    assert float((slope * move).sum()) == pytest.approx(change, rel=1e-5)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: MaxSlicedWasserstein(0.5), ValueError, "p must be a finite number of at least 1"),
        (lambda: MaxSlicedWasserstein(restarts=0), ValueError, "restarts must be a whole number of at least 1"),
        (lambda: MaxSlicedWasserstein(seed=-1), ValueError, "seed must be a whole number of at least 0"),
        (lambda: Extrapolated("w2"), TypeError, "base must be a Divergence"),  # type: ignore[arg-type]
        (lambda: Extrapolated(Wasserstein(2), rate=0.0), ValueError, "rate must be a positive finite number"),
        (lambda: Extrapolated(Wasserstein(2), repeats=1), ValueError, "repeats must be a whole number of at least 2"),
        (lambda: Extrapolated(Wasserstein(2), seed=-1), ValueError, "seed must be a whole number of at least 0"),
        (lambda: PerDimension(0.0), ValueError, "power must be a positive finite number"),
        (lambda: Extrapolated(Wasserstein(2)).estimate([1.0], [2.0]), ValueError, "minimum of 4 is required"),
    ],
)
def test_misuse_is_refused(make: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()  # type: ignore[operator]
