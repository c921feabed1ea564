"""Sliced energy distance: the average over directions of what sorting yields in one dimension."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from divkit import pairs
from divkit.core.estimate import Solution, Terms
from divkit.core.notes import Note, Notes
from divkit.data.measure import Measure
from divkit.kernel.kernels import NegativeDistance
from divkit.kernel.second import second_order, with_errors
from divkit.kernel.statistic import PairStatistic
from divkit.lines.directions import directions, too_few
from divkit.support.checks import whole

__all__ = ["SlicedEnergy", "slicing"]


def slicing(d: int) -> float:
    r"""Return the constant :math:`c_d = \sqrt\pi\,\Gamma((d+1)/2)/\Gamma(d/2)`.

    As :math:`|x| = c_d\, E_\theta |\theta \cdot x|`, the energy distance is c_d times the sliced one over all directions.

    Examples
    --------
    >>> from divkit.kernel import slicing
    >>> round(slicing(2), 6)
    1.570796
    """
    whole("d", d)
    return math.sqrt(math.pi) * math.exp(math.lgamma((d + 1) / 2) - math.lgamma(d / 2))


@dataclass(frozen=True)
class SlicedEnergy(PairStatistic):
    r"""The sliced energy distance :math:`E_\theta\, \mathcal E(\theta \cdot x, \theta \cdot y)`, θ uniform on the sphere.

    In O((n + m) log(n + m)) for each direction, with exact constant: the energy distance is `slicing(d)` times this, an
    estimate of it being in `notes["energy"]`. The standard error holds the projections' noise, which `notes` has apart; in one
    dimension there is none and it is `Energy`. Units of the data. Source: Hertrich, Wald, Altekrüger and Hagemann (2024).

    Parameters
    ----------
    projections : int
        Orthogonal within groups of d.
    seed : int
    unbiased : bool
        Of the samples' pairs i ≠ j only, as in `Energy`.

    Examples
    --------
    >>> import divkit as dk
    >>> dk.get("sliced-energy", unbiased=False).estimate([0.0, 0.0], [1.0, 1.0]).value
    2.0
    """

    quadratic: ClassVar[bool] = False
    projections: int = 100
    seed: int = 0
    unbiased: bool = True

    def __post_init__(self) -> None:
        whole("projections", self.projections)
        whole("seed", self.seed, 0)

    @property
    def name(self) -> str:
        return "sliced-energy"

    def solve(self, x: Measure, y: Measure, start: Solution | None = None) -> Solution:
        return self._drawn(x, 0)

    def advance(self, x: Measure, y: Measure, solution: Solution | None) -> Solution:
        """Draw fresh directions each step, so that training sees all of them."""
        return self._drawn(x, 0 if solution is None else solution.steps + 1)

    def _drawn(self, x: Measure, step: int) -> Solution:
        """Return the directions of a training step."""
        d = x.flat.shape[1]
        fresh = directions(self.projections if d > 1 else 1, d, self.seed + step, x.flat)
        return Solution(state={"directions": fresh}, steps=step)

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        theta, frame = solution.state["directions"], pairs.frame(x, y)
        chunks, alphas, betas = zip(*self._slices(x, y, frame, theta))
        values = torch.cat(chunks)
        alpha, beta = sum(alphas) / len(theta), sum(betas) / len(theta)
        constant, kernel = slicing(theta.shape[1]), NegativeDistance()
        with torch.no_grad():
            remark = too_few(len(theta), theta.shape[1])
            spread = float(values.detach().std()) / math.sqrt(len(theta)) if len(theta) > 1 else 0.0
            noise = math.nan if remark else spread
            second = second_order(kernel, x, y, frame.x, frame.y)
        notes: Notes = {
            Note.PROJECTIONS: len(theta),
            Note.STDERR_OF_PROJECTIONS: frame.scale * noise,
            **({Note.STDERR: remark} if remark else {}),
            Note.ENERGY: constant * frame.scale * float(values.detach().mean()),
        }
        energy = with_errors(kernel, (x, frame.x, constant * alpha), (y, frame.y, constant * beta), second)
        rest = energy.rest.and_noise(constant * noise)
        return energy._replace(rest=rest, notes=notes).times(frame.scale / constant)

    def _slices(self, x: Measure, y: Measure, frame: pairs.Frame, theta: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield for each chunk of L directions, in the frame, its values (L,), and α (n,), β (m,) summed over it.

        A chunk has about two million projected numbers, 16 MiB of float64.
        """
        w, v = x.weights.double(), y.weights.double()
        within = [1 - weights.square().sum() if self.unbiased else 1.0 for weights in (w, v)]
        for part in theta.tensor_split(1 + len(theta) * (x.n + y.n) // (1 << 21)):
            sums = pairs.absolute_sums(part @ frame.x.T, part @ frame.y.T, w, v)
            alpha = sums.across_x - sums.own_x / within[0]
            beta = sums.across_y - sums.own_y / within[1]
            yield alpha @ w + beta @ v, alpha.sum(0), beta.sum(0)
