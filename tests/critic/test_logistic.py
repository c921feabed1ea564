"""Tests of the logistic regression beside scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from divkit.critic.logistic import Regressions, regress
from divkit.data.measure import Measure


@pytest.mark.parametrize("distance", [0.3, 3.0, 30.0])
def test_coefficients_are_those_of_scikit_learn(distance: float) -> None:
    """The same penalised optimum, far beyond where the classes separate."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(200, 3, generator=generator, dtype=torch.float64)
    signs = torch.ones(200, dtype=torch.float64)
    signs[120:] = -1
    features[:120] += distance
    precision, zero = torch.full((3,), 0.25, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    theta = regress(features, signs, torch.ones_like(signs), precision, zero, exact=True)
    model = LogisticRegression(C=4.0, fit_intercept=False, tol=1e-12, solver="newton-cholesky", max_iter=1000)
    expected = model.fit(features.numpy(), signs.numpy()).coef_[0]
    np.testing.assert_allclose(theta.numpy(), expected, rtol=1e-6, atol=1e-8)


def test_without_rows_the_centre_of_the_prior_stays() -> None:
    """Rows of no mass say nothing."""
    features, signs = torch.ones(4, 2, dtype=torch.float64), torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=torch.float64)
    centre = torch.tensor([1.0, -2.0], dtype=torch.float64)
    assert regress(features, signs, torch.zeros_like(signs), torch.ones_like(centre), centre).equal(centre)


def test_noise_is_not_beyond_chance_and_a_signal_is() -> None:
    """A further feature of noise fits a little better, one of signal much."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(500, 3, generator=generator).double(), torch.randn(500, 3, generator=generator).double()
    x[:, 2] += 1
    sides = Measure(x), Measure(y)
    for columns, beyond in ([0, 1], False), ([0, 2], True):
        features = x[:, columns], y[:, columns]
        regressions = Regressions(sides, sides, features, features)
        one, other = (regressions.coefficients(width, 5.0) for width in (1, 2))
        assert one[1] == 0
        assert regressions.beyond_chance(one, other) is beyond
        assert (regressions.gain(one, other) > 3) is beyond
