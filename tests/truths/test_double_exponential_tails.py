"""A density that is too small for a float before the other law's tail has ended: infinite, finite or refused, never cut off."""

from __future__ import annotations

import math

import pytest
from torch.distributions import Distribution, Gumbel, Laplace, Normal, StudentT

from divkit.truths import exact

from .conftest import law


@pytest.mark.parametrize("scale", [0.3, 1.0, 1.1, 1.173, 1.18, 1.3, 2.0])
def test_laplace_and_gumbel(scale: float) -> None:
    """E exp(−(x − μ)/β) of a Laplace law is finite below the scale β alone."""
    m, mu, beta = -0.583, -0.0613, 1.173
    p, q = law(Laplace, m, scale), law(Gumbel, mu, beta)
    share = (scale / beta) ** 2
    moment = math.exp((mu - m) / beta) / (1 - share) if share < 1 else math.inf
    closed = -1 - math.log(2 * scale) + math.log(beta) + (m - mu) / beta + moment
    assert exact("kl", p, q) == pytest.approx(closed, rel=1e-9)
    assert exact("reverse-kl", q, p) == exact("kl", p, q)
    assert exact("js", p, q) < math.log(2)


@pytest.mark.parametrize("name", ["kl", "pearson", "jeffreys"])
def test_a_polynomial_tail_is_infinitely_far(name: str) -> None:
    assert exact(name, law(StudentT, 3.0, 0.0, 1.0), law(Gumbel, 0.0, 1.0)) == math.inf


@pytest.mark.parametrize(
    ("p", "q", "said"),
    [
        (law(Laplace, -0.583, 1.17), law(Gumbel, -0.0613, 1.173), "falls too slowly near -745"),
        (law(Normal, -1e4, 1.0), law(Gumbel, 0.0, 1.0), "one law has mass where the other's density is too small"),
    ],
)
def test_what_cannot_be_told_is_refused(p: Distribution, q: Distribution, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        exact("kl", p, q)
