"""Reads torch distributions into laws, in float64 whatever their dtype."""

from __future__ import annotations

import math
from itertools import product as indices

import numpy as np
import torch
import torch.distributions as td
from scipy import linalg

from divkit.truths import lattice, lines
from divkit.truths.lattice import LATTICES, Lattice
from divkit.truths.laws import Dirichlet, GaussianLaw, Law, Mixture, ProductLaw, size
from divkit.truths.lines import LINES, Line
from divkit.truths.mixtures import blend
from divkit.truths.quadrature import Array

__all__ = ["beta", "lattice_or_line", "read", "split"]

_KNOWN = ", ".join(sorted(kind.__name__ for kind in (*LINES, *LATTICES, td.Chi2)))


def read(law: td.Distribution, index: tuple[int, ...] = ()) -> Law:
    """Return the law at an index of its batch.

    Raises
    ------
    ValueError
        If the family is not known here.
    """
    match law:
        case td.Normal():
            return _gaussian(np.array([_number(law, "loc", index)]), np.array([[_number(law, "scale", index) ** 2]]))
        case td.MultivariateNormal() | td.LowRankMultivariateNormal():
            return _gaussian(_array(law.loc)[index], _covariance(law)[index])
        case td.Dirichlet():
            return Dirichlet(_array(law.concentration)[index])
        case td.Categorical():
            return _categorical(_array(law.probs)[index])
        case td.Independent():
            inner = law.base_dist.batch_shape[len(law.batch_shape) :]
            return _join([read(law.base_dist, (*index, *more)) for more in indices(*map(range, inner))])
        case td.MixtureSameFamily():
            weights = _array(law.mixture_distribution.probs)[index]
            chosen = [k for k, weight in enumerate(weights) if weight > 0.0]
            parts = [read(law.component_distribution, (*index, k)) for k in chosen]
            return _mix(weights[chosen] / weights[chosen].sum(), parts)
        case _:
            return _scalar(law, index)


def lattice_or_line(law: Law) -> Law:
    """Return a law of dimension one as a line or lattice, any other unchanged."""
    if size(law) > 1:
        return law
    match law:
        case GaussianLaw(mean, covariance):
            values = {"loc": float(mean[0]), "scale": math.sqrt(covariance[0, 0])}
            return lines.line(LINES[td.Normal], values.__getitem__)
        case Mixture(weights, parts):
            members = tuple(lattice_or_line(part) for part in parts)
            return blend(weights, tuple(member for member in members if isinstance(member, Line)))
        case _:
            return law


def beta(law: Dirichlet, what: str) -> Line:
    """Return the law of the first of two coordinates, which has all divergences of the pair.

    Raises
    ------
    ValueError
        If there are more than two.
    """
    if len(law.concentration) != 2:
        raise ValueError(
            f"{what} between Dirichlet laws is known for two coordinates only, these have {len(law.concentration)}; ask for "
            "kl, renyi, alpha, pearson, neyman or squared-hellinger."
        )
    values = dict(zip(("concentration1", "concentration0"), map(float, law.concentration)))
    return lines.line(LINES[td.Beta], values.__getitem__)


def split(law: Law) -> Law:
    """Return a Gaussian with a diagonal covariance as a product of its coordinates, any other law unchanged."""
    if isinstance(law, GaussianLaw) and np.count_nonzero(law.covariance) == len(law.mean):
        parts = zip(law.mean, law.covariance.diagonal())
        return ProductLaw(tuple(lattice_or_line(GaussianLaw(np.array([m]), np.array([[v]]))) for m, v in parts))
    return law


def _gaussian(mean: Array, covariance: Array) -> GaussianLaw:
    """Return a Gaussian, refused unless its covariance is positive definite."""
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all() and np.linalg.eigvalsh(covariance)[0] > 0.0):
        raise ValueError("a Gaussian's covariance must be positive definite in float64; give finite, less extreme scales.")
    return GaussianLaw(mean, covariance)


def _join(parts: list[Law]) -> Law:
    """Return the law of independent parts side by side."""
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, GaussianLaw) for part in parts):
        gaussians = [part for part in parts if isinstance(part, GaussianLaw)]
        return GaussianLaw(np.concatenate([g.mean for g in gaussians]), linalg.block_diag(*(g.covariance for g in gaussians)))
    return ProductLaw(tuple(parts))


def _mix(weights: Array, parts: list[Law]) -> Law:
    """Return the mixture of laws of one kind."""
    if size(parts[0]) > 1 or all(isinstance(part, GaussianLaw) for part in parts):
        return Mixture(weights, tuple(parts))
    members = tuple(part for part in parts if isinstance(part, Line))
    if len(members) < len(parts):
        raise ValueError("a mixture of discrete laws is not known here; give a Categorical law of the mixed probabilities.")
    return blend(weights, members)


def _scalar(law: td.Distribution, index: tuple[int, ...]) -> Law:
    """Return a law on the line or the integers by its family."""

    def number(name: str) -> float:
        return _number(law, name, index)

    for kind in type(law).__mro__:
        if kind in LINES:
            return lines.line(LINES[kind], number)
        if kind in LATTICES:
            return lattice.table(LATTICES[kind](number))
    raise ValueError(
        f"{type(law).__name__} is not known here; wanted one of {_KNOWN}, Categorical, Dirichlet, MultivariateNormal, or an "
        "Independent or MixtureSameFamily of these."
    )


def _categorical(probs: Array) -> Lattice:
    """Return the law on 0, 1, … with these probabilities."""
    probs = probs / probs.sum()
    values = np.arange(len(probs))
    with np.errstate(divide="ignore"):
        logs = np.append(np.log(probs), -np.inf)
    mean = float(values @ probs)
    return Lattice(
        log_mass=lambda k: logs[np.minimum(k, len(probs)).astype(int)],
        high=float(len(probs) - 1),
        mean=mean,
        variance=float((values - mean) ** 2 @ probs),
    )


def _number(law: td.Distribution, name: str, index: tuple[int, ...]) -> float:
    """Return a parameter of the law at an index of its batch."""
    if name == "probs" and "probs" not in vars(law):  # torch would take the sigmoid in the law's own dtype
        return float(torch.sigmoid(torch.as_tensor(vars(law)["logits"]).detach().double()).expand(law.batch_shape)[index])
    return float(torch.as_tensor(getattr(law, name)).detach().double().expand(law.batch_shape)[index])


def _array(values: torch.Tensor) -> Array:
    """Return a tensor as an array in float64."""
    result: Array = values.detach().double().cpu().numpy()
    return result


def _covariance(law: td.MultivariateNormal | td.LowRankMultivariateNormal) -> Array:
    """Return the covariance, by the root that the law was given where there is one."""
    if "covariance_matrix" not in vars(law) and isinstance(law, td.MultivariateNormal):
        root = _array(law.scale_tril)
        return root @ root.swapaxes(-1, -2)
    return _array(law.covariance_matrix)
