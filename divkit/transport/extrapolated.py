"""Richardson extrapolation of a plug-in in the sample size: n against n/2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from divkit.core.divergence import Divergence
from divkit.core.estimate import Bias, Solution, Status, Terms
from divkit.core.notes import Note, Notes
from divkit.core.uncertainty import Remainder
from divkit.data.measure import Measure
from divkit.support.checks import positive, whole

__all__ = ["Extrapolated", "PerDimension"]


@dataclass(frozen=True)
class PerDimension:
    """The rate min(1, power/d) in dimension d: of :math:`W_2^2` with power 2, of :math:`W_1` with power 1."""

    power: float = 2.0

    def __post_init__(self) -> None:
        positive("power", self.power)

    def of(self, d: int) -> float:
        """The rate in dimension d."""
        return min(1.0, self.power / d)


class _Half(NamedTuple):
    """A half of both samples, by the numbers of its rows in each."""

    rows: Tensor
    columns: Tensor


@dataclass(frozen=True)
class Extrapolated(Divergence):
    r"""A divergence less the bias that halving the samples reveals.

    .. math:: V_n - \frac{V_{n/2} - V_n}{2^r - 1}, \qquad \text{where } E V_n = V + c\, n^{-r} \text{ is assumed}

    :math:`V_{n/2}` averages over both halves of `repeats` random splits; what the choice of the splits adds is in `stderr` and
    in the notes, with the rate. The rate is an assumption: for :math:`W_2^2` the order :math:`n^{-2/d}` is that of the worst
    case, and of P = Q. Where it is too slow the correction is too large.
    Source: Richardson (1911); Chizat, Roussillon, Léger, Vialard, Peyré (2020) for the rate.

    Parameters
    ----------
    base : Divergence
        Whose value is a plug-in, such as ``Wasserstein(2)``.
    rate : float or PerDimension
        r above.
    repeats : int
        Random splits, at least 2.
    seed : int

    Examples
    --------
    >>> import torch
    >>> from divkit.transport import Extrapolated, Wasserstein
    >>> generator = torch.Generator().manual_seed(0)
    >>> x, y = (torch.randn(200, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    >>> plain, less = (w.estimate(x, y).value for w in (Wasserstein(2), Extrapolated(Wasserstein(2))))
    >>> bool(abs(less) < plain / 4)  # the truth is zero
    True
    """

    base: Divergence
    rate: float | PerDimension = PerDimension()
    repeats: int = 4
    seed: int = 0

    minimum = 4

    def __post_init__(self) -> None:
        if not isinstance(self.base, Divergence):
            raise TypeError(f"base must be a Divergence, such as Wasserstein(2); got {self.base!r}.")
        if not isinstance(self.rate, PerDimension):
            positive("rate", self.rate)
        whole("repeats", self.repeats, 2)
        whole("seed", self.seed, 0)

    @property
    def name(self) -> str:
        return f"{self.base.name}-extrapolated"

    @property
    def bias(self) -> Bias:
        return Bias.UNKNOWN

    def solve(self, x: Measure, y: Measure, start: Solution | None = None) -> Solution:
        solutions = [self.base.solve(x, y)]
        solutions += [self.base.solve(x.take(h.rows), y.take(h.columns)) for h in self._halves(x, y)]
        failed = next((s for s in solutions if not s.converged), None)
        return Solution(
            state={f"{k}.{key}": value for k, s in enumerate(solutions) for key, value in s.state.items()},
            status=failed.status if failed else Status.CONVERGED,
            steps=sum(s.steps for s in solutions),
            error=max(s.error for s in solutions),
            notes=solutions[0].notes,
        )

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        rate = self.rate.of(x.flat.shape[1]) if isinstance(self.rate, PerDimension) else self.rate
        factor = 1 / (2**rate - 1)
        whole_sample = self.base.terms(x, y, _part(solution, 0))
        u, v, values = (1 + factor) * whole_sample.x, (1 + factor) * whole_sample.y, []
        for k, half in enumerate(self._halves(x, y), 1):
            p, q = x.take(half.rows), y.take(half.columns)
            terms = self.base.terms(p, q, _part(solution, k))
            values.append(float(terms.value(p, q).detach()))
            share = factor / (2 * self.repeats)  # a row's weight in its half, over that in the whole
            u = u.index_add(0, half.rows, -share / x.weights[half.rows].sum() * terms.x)
            v = v.index_add(0, half.columns, -share / y.weights[half.columns].sum() * terms.y)
        splits = torch.tensor(values, dtype=torch.float64).view(self.repeats, 2).mean(1)
        noise = factor * float(splits.std()) / self.repeats**0.5
        plug_in = float(whole_sample.value(x, y).detach())
        notes: Notes = {Note.RATE: rate, Note.PLUG_IN: plug_in, Note.STDERR_OF_SPLITS: noise}
        return Terms(u, v, Remainder(noise=noise), {**whole_sample.notes, **notes})

    def _halves(self, x: Measure, y: Measure) -> list[_Half]:
        """Return both halves of each random split; rows of weight zero are in none."""
        generator = torch.Generator(device="cpu").manual_seed(self.seed)
        halves: list[_Half] = []
        for _ in range(self.repeats):
            numbers = [m.weights.detach().nonzero()[:, 0] for m in (x, y)]
            orders = [k[torch.randperm(len(k), generator=generator, device="cpu").to(k.device)] for k in numbers]
            parts = [(order[: len(order) // 2], order[len(order) // 2 :]) for order in orders]
            halves += [_Half(rows, columns) for rows, columns in zip(*parts)]
        return halves


def _part(solution: Solution, k: int) -> Solution:
    """Return the solution of the whole samples (k = 0) or of the k-th half, out of the joint one."""
    prefix = f"{k}."
    return Solution({key.removeprefix(prefix): value for key, value in solution.state.items() if key.startswith(prefix)})
