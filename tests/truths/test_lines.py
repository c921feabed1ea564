"""Densities on the line against torch's, distribution functions against scipy's and against the densities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.distributions as td

from divkit.truths.lines import LINES, Line
from divkit.truths.quadrature import charts, log_integrals
from divkit.truths.reading import lattice_or_line, read

from .conftest import f64, law

LAWS = [
    law(td.Normal, 1, 2),
    law(td.Laplace, 1, 2),
    law(td.Cauchy, 1, 2),
    law(td.StudentT, 2.5, 1, 2),
    law(td.Gumbel, 1, 2),
    law(td.Uniform, 1, 3),
    law(td.Exponential, 2),
    law(td.Gamma, 0.5, 2),
    law(td.Chi2, 3),
    law(td.InverseGamma, 1.5, 2),
    law(td.Weibull, 2, 0.7),
    law(td.LogNormal, 1, 0.7),
    law(td.Pareto, 2, 1.5),
    law(td.HalfNormal, 2),
    law(td.HalfCauchy, 2),
    law(td.Beta, 0.5, 2),
]


def test_every_family_is_here() -> None:
    assert {type(each) for each in LAWS} == {*LINES, td.Chi2}


@pytest.mark.parametrize("each", LAWS, ids=lambda each: type(each).__name__)
def test_density_and_quantiles(each: td.Distribution) -> None:
    line = lattice_or_line(read(each))
    assert isinstance(line, Line)
    x = line.functions.ppf(np.array([0.01, 0.2, 0.5, 0.9, 0.99]))
    assert line.log_density(np.zeros(5), x) == pytest.approx(each.log_prob(f64(x)).numpy(), rel=1e-12, abs=1e-12)
    assert line.log_density(x, np.zeros(5)) == pytest.approx(each.log_prob(f64(x)).numpy(), rel=1e-12, abs=1e-12)
    low, high = x[1], x[3]
    mass = log_integrals(
        lambda origin, offset: line.log_density(origin, offset)[None], charts([x[2]], (1.0, 1.0), low, high), "mass"
    )
    assert np.exp(mass[0]) == pytest.approx(0.7, rel=1e-11)
    u = np.array([1e-290, 1e-160, 1e-20, 1e-3, 0.4])
    assert line.functions.sf(line.functions.isf(u))[2:] == pytest.approx(u[2:], rel=1e-9)
    if np.isfinite(line.variance):
        assert (line.mean, line.variance) == pytest.approx((float(each.mean), float(each.variance)))


@pytest.mark.parametrize("df", [0.5, 1.5, 2.05, 3.0, 10.0, 300.0])
def test_quantiles_of_student_far_out(df: float) -> None:
    functions = lattice_or_line(read(law(td.StudentT, df))).functions
    u = 10.0 ** -np.arange(5, 130, 5)
    assert functions.sf(functions.isf(u)) == pytest.approx(u, rel=1e-9)
    assert functions.cdf(functions.ppf(u)) == pytest.approx(u, rel=1e-9)
    if 1 < df < 5:
        far = -np.log(functions.isf(10.0 ** -np.array([200.0, 250.0, 300.0])))
        assert np.diff(far) == pytest.approx(-50 * np.log(10) / df, rel=1e-6)


def test_a_density_keeps_its_digits_next_to_an_end() -> None:
    line = lattice_or_line(read(law(td.Beta, 2, 0.25)))
    with np.errstate(invalid="ignore"):
        near = line.log_density(np.ones(2), np.array([-1e-30, -1e-60]))
        outside = line.log_density(np.ones(1), np.array([1e-30]))
    assert near[1] - near[0] == pytest.approx(0.75 * 30 * np.log(10), rel=1e-12)
    assert np.isneginf(outside)


def test_quantiles_of_a_mixture() -> None:
    mixture = td.MixtureSameFamily(td.Categorical(f64([0.3, 0.7])), td.Normal(f64([0.0, 5.0]), f64([1.0, 0.01])))
    functions = lattice_or_line(read(mixture)).functions
    u = np.array([1e-200, 1e-9, 0.29, 0.5, 0.9])
    assert functions.cdf(functions.ppf(u)) == pytest.approx(u, rel=1e-9)
    assert functions.sf(functions.isf(u)) == pytest.approx(u, rel=1e-9)


def test_integrals_refuse_what_is_not_a_number() -> None:
    def logs(origin: np.ndarray, offset: np.ndarray) -> np.ndarray:
        return np.where(offset > 1, np.nan, -offset)[None]

    with pytest.raises(ValueError, match="hole: the integrand is not a number at"):
        log_integrals(logs, charts([0.0], (1.0, 1.0), 0.0), "hole")


def test_torch_state_is_left_alone() -> None:
    before = torch.get_default_dtype(), torch.is_grad_enabled()
    read(td.Normal(torch.tensor(0.0, requires_grad=True), 1.0))
    assert before == (torch.get_default_dtype(), torch.is_grad_enabled())
