"""Transport between Gaussians of the samples' moments: Fréchet's, Bures' or the Gaussian Wasserstein distance.

With means μ and covariances A and B the value is |μ_x − μ_y|² + tr A + tr B − 2 F(A, B), where the fidelity
F(A, B) = tr (A^½ B A^½)^½ is the sum of the singular values of A^½ B^½.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from divkit import pairs
from divkit.core.divergence import Divergence
from divkit.core.estimate import Bias, Solution, Terms
from divkit.core.notes import Note
from divkit.data.measure import Measure

__all__ = ["GaussianWasserstein"]


@dataclass(frozen=True)
class GaussianWasserstein(Divergence):
    r"""The squared 2-Wasserstein distance between the Gaussians that have the samples' means and covariances.

    .. math:: W_2^2 = |\mu_x - \mu_y|^2 + \operatorname{tr}\big(\Sigma_x + \Sigma_y
        - 2(\Sigma_x^{1/2} \Sigma_y \Sigma_x^{1/2})^{1/2}\big)

    A lower bound of the population's :math:`W_2^2` whatever the laws are. Of features of a network it is the Fréchet inception
    distance; with unit weights the covariances have the divisor n − 1. Its standard error is by the delta method, at P = Q
    of second order only. Where a sample has fewer rows than columns its covariance is shrunk towards a multiple of the
    identity by Ledoit and Wolf's intensity, which `notes` has. Units of the data, squared.
    Source: Gelbrich (1990); Heusel et al. (2017); Ledoit and Wolf (2004).

    Examples
    --------
    >>> import torch, divkit as dk
    >>> x = torch.randn(500, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> round(dk.estimate("gaussian-w2", x, x + 1.0).value, 6)  # a translation costs its squared length
    3.0
    """

    quadratic: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return "gaussian-w2"

    @property
    def bias(self) -> Bias:
        return Bias.ABOVE

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        frame = pairs.frame(x, y)
        a, b = _Moments(frame.x.double(), x), _Moments(frame.y.double(), y)
        fidelity, at_a, at_b = _fidelity(a.covariance, b.covariance)
        gap, eye = a.mean - b.mean, torch.eye(len(a.mean), dtype=a.mean.dtype, device=a.mean.device)
        value = gap.square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * fidelity
        u, v = a.influence(2 * gap, eye - 2 * at_a), b.influence(-2 * gap, eye - 2 * at_b)
        rest = value - x.mean(u).detach() - y.mean(v).detach()
        unit = frame.unit(2.0)
        notes: dict[str, float | int | str] = {}
        if a.shrinkage or b.shrinkage:
            notes[Note.SHRINKAGE] = f"no more rows than columns: covariances shrunk by {a.shrinkage:.3g} and {b.shrinkage:.3g}"
        return Terms(unit * (u + rest), unit * v, notes=notes)


class _Moments:
    """The mean and covariance of one sample, without graph, and how a functional of them moves with each row."""

    def __init__(self, rows: Tensor, measure: Measure) -> None:  # rows: (n, d)
        self.rows, self.weights = rows, measure.weights.double()
        w, points = self.weights.detach(), rows.detach()
        self.mean = w @ points
        self.centred = points - self.mean
        self.raw = self.centred.T @ (w[:, None] * self.centred)
        self.shrinkage = _ledoit_wolf(self.centred, self.raw, w) if int((w > 0).sum()) <= rows.shape[1] else 0.0
        self.covariance = float(self._divisor().detach()) * self._shrunk(self.raw)

    def influence(self, at_mean: Tensor, at_covariance: Tensor) -> Tensor:  # (d,), (d, d) -> (n,)
        """Return terms whose weighted mean has the derivative of a functional in points and weights, but not its value.

        The functional is given by its derivatives in the mean and in the covariance.
        """
        centred = self.rows - self.mean  # the mean is without graph: deviations from it sum to zero
        slope = self._shrunk(at_covariance)  # which is its own adjoint
        divisor = self._divisor()
        moved = divisor * (slope * self.raw).sum()  # by the divisor, which depends on the weights
        spread = divisor.detach() * ((centred @ slope) * centred).sum(1)
        return centred @ at_mean + spread + (moved - moved.detach())

    def _divisor(self) -> Tensor:
        """Return nₑ/(nₑ − 1), which is n/(n − 1) for equal weights; one where a single row has all the weight."""
        rest = 1 - self.weights.square().sum()
        return 1 / rest if float(rest.detach()) > 1e-13 else torch.ones_like(rest)

    def _shrunk(self, matrix: Tensor) -> Tensor:
        """Return a matrix shrunk towards the multiple of the identity that has its trace."""
        eye = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
        return (1 - self.shrinkage) * matrix + self.shrinkage * matrix.trace() / len(matrix) * eye


def _fidelity(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return tr (A^½ B A^½)^½ and its derivatives in A and B, zero along directions that have no spread.

    Singular values of A^½ B^½ keep the digits that a root of the product loses.
    """
    (root_a, inverse_a), (root_b, inverse_b) = _roots(a), _roots(b)
    left, values, right = torch.linalg.svd(root_a @ root_b)
    at_a, at_b = inverse_a @ left, inverse_b @ right.T
    return values.sum(), (at_a * values) @ at_a.T / 2, (at_b * values) @ at_b.T / 2


def _roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return the square roots of a positive semidefinite matrix and of its pseudo-inverse."""
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    spread = values > 1e-13 * values[-1].clamp(min=0)  # below lies rounding: no spread in that direction
    roots = torch.where(spread, values.clamp(min=0), 0).sqrt()
    inverses = torch.where(roots > 0, 1 / torch.where(roots > 0, roots, 1), 0)
    return (vectors * roots) @ vectors.T, (vectors * inverses) @ vectors.T


def _ledoit_wolf(centred: Tensor, covariance: Tensor, w: Tensor) -> float:
    """Return Ledoit and Wolf's shrinkage intensity: E|S − Σ|² over |S − level · I|², both estimated, S the covariance."""
    level = covariance.trace() / len(covariance)
    distance = covariance.square().sum() - len(covariance) * level.square()
    fourth = w.square() @ centred.square().sum(1).square() - w.square().sum() * covariance.square().sum()
    return float((fourth / distance).clamp(0.0, 1.0)) if float(distance) > 0 else 0.0
