"""Who judges whom: folds, inner splits, and what a value over folds is worth at any sample size."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from divkit.measure import Measure

__all__ = ["bernstein", "cut_folds", "inner_split"]

LEVEL = 0.95  # of the finite-sample lower bound


def cut_folds(m: Measure, count: int, generator: torch.Generator) -> Tensor:  # -> (n,) long
    """Each row's fold, of equal sizes, at random."""
    if m.n < 2 * count:
        raise ValueError(
            f"Found array with {m.n} sample(s) while a minimum of {2 * count} is required: {count}-fold cross-fitting."
        )
    order = torch.randperm(m.n, generator=generator)
    folds = torch.empty(m.n, dtype=torch.long)
    folds[order] = torch.arange(m.n) % count
    return folds.to(m.device)


def inner_split(m: Measure, held: float, generator: torch.Generator) -> tuple[Measure, Measure]:
    """Cut the rows at random into those that fit and those held out."""
    order = torch.randperm(m.n, generator=generator).to(m.device)
    cut = max(1, round(held * m.n))
    if not m.uniform:  # a side without mass cannot be trained on or judged
        for part in (order[cut:], order[:cut]):
            if not float(m.weights[part].sum()) > 0:
                raise ValueError("the weights leave a fold without mass; too few rows have weight.")
    return m.take(order[cut:]), m.take(order[:cut])


@torch.no_grad()
def bernstein(values: Tensor, folds: Tensor | None, span: float) -> float:
    """A lower bound of the folds' mean expectation that holds at any sample size, with half of the error 1 − LEVEL.

    Maurer and Pontil's (2009) empirical Bernstein bound in every fold, whose critic saw none of it, jointly over the folds.

    Parameters
    ----------
    values : Tensor (n,)
        Of length `span` at most between any two.
    folds : Tensor (n,) or None
        Each row's; None where all were judged by one critic.
    span : float
    """
    parts = [values.double()] if folds is None else [values[folds == k].double() for k in range(int(folds.max()) + 1)]
    if min(map(len, parts)) < 2:
        return -math.inf
    doubt, total = math.log(2 * 2 * len(parts) / (1 - LEVEL)), 0.0
    for part in parts:
        n = len(part)
        deviation = float((2 * part.var() * doubt / n).sqrt()) + 7 * span * doubt / (3 * n - 3)
        total += n / len(values) * (float(part.mean()) - deviation)
    return total
