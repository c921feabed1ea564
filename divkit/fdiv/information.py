"""Mutual information: the Kullback–Leibler divergence of a joint sample from the product of its margins."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from divkit.core.estimate import Estimate, Terms
from divkit.core.graph import without_graph
from divkit.core.notes import Note
from divkit.core.uncertainty import Remainder
from divkit.critic import Choice, LogitNetwork, Variational
from divkit.critic.ascent import Ascent
from divkit.critic.networks import Factory
from divkit.critic.splits import cut_folds
from divkit.data.measure import Measure
from divkit.fdiv.bounds import Bound
from divkit.fdiv.logit import LogitDual
from divkit.fdiv.table import KL
from divkit.support.checks import enough, whole

__all__ = ["mutual_information"]


def mutual_information(
    x: Any,
    y: Any,
    *,
    dual: LogitDual = Bound(KL),  # noqa: B008
    critic: Factory | Choice = LogitNetwork,
    ascent: Ascent = Ascent(),
    derangements: int = 8,
) -> Estimate:
    r"""I(X; Y) = KL(P_{XY} ‖ P_X ⊗ P_Y) from n paired rows, in nats: a lower bound in expectation.

    The product's samples pair each row of x with other rows' y, within a fold: a critic that has not seen a fold has seen none
    of its rows in either sample. The standard error is that of all that a row adds, in the joint sample and on both sides of
    the product.

    Parameters
    ----------
    x, y : array-like (n, \*event), (n, \*event)
        Row i of both is one observation.
    dual : LogitDual
        The bound that is reported, such as ``Bound(JS)`` or ``DonskerVaradhan()``.
    critic : callable or Choice
        A factory that takes two event shapes, x's and y's.
    ascent : Ascent
    derangements : int
        Product samples for each row.

    Returns
    -------
    Estimate
        With n = m the number of rows.

    Raises
    ------
    ValueError
        If x and y are not of the same number of rows, or fewer than three for each fold; if one of them has weights.

    Examples
    --------
    >>> import math, torch, divkit as dk
    >>> generator = torch.Generator().manual_seed(0)
    >>> x, noise = torch.randn(2, 2000, generator=generator)
    >>> e = dk.fdiv.mutual_information(x, 0.6 * x + 0.8 * noise)
    >>> abs(e.value + math.log(0.8)) < 4 * e.stderr  # −½ log(1 − ρ²)
    True
    """
    whole("derangements", derangements)
    left, right = (side if isinstance(side, Measure) else Measure(side) for side in (x, y))
    if left.n != right.n:
        raise ValueError(f"x has {left.n} rows and y {right.n}; mutual information needs pairs, as many of each.")
    for name, side in (("x", left), ("y", right)):
        if not side.uniform:
            raise ValueError(
                f"{name} has weights, of which mutual information takes none: a pair's weight is no product of two others'. "
                f"Draw rows by their weights first."
            )
    enough("x and y", left.n, 3 * ascent.folds, f"for derangements in each of {ascent.folds} folds")
    dtype = torch.promote_types(left.dtype, right.dtype)
    one, two = (part.detach().to(dtype) for part in (*left.parts, *right.parts))
    variational = Variational(dual, critic=critic, ascent=ascent)
    with without_graph(one.device):
        joint = Measure._of((one, two), None)
        generator = torch.Generator().manual_seed(ascent.seed)
        folds = cut_folds(joint, ascent.folds, generator)
        partner = torch.cat([_derangement(folds, generator) for _ in range(derangements)])
        row = torch.arange(joint.n, device=one.device).repeat(derangements)
        product = Measure._of((one[row], two[partner]), None)
        solution = variational.crossfit(joint, product, (folds, folds.repeat(derangements)), generator)
        terms = variational.terms(joint, product, solution)
        of_product = _by_row(terms.y, row, partner, joint.n)
    # the product's rows are no sample, for which a bound of finite samples would hold
    notes = {key: note for key, note in terms.notes.items() if key != Note.LOWER_FINITE_SAMPLE}
    terms = Terms(terms.x, of_product, Remainder(noise=terms.rest.noise), {**notes, Note.DERANGEMENTS: derangements})
    return Estimate.of(
        f"mutual information ({dual.name})", joint, joint, terms, solution, bias=dual.bias, settings=variational.settings
    )


def _by_row(values: Tensor, row: Tensor, partner: Tensor, n: int) -> Tensor:  # (J n,) -> (n,)
    """Return what every original row adds to the product's mean, from both sides of its pairs; the mean stays.

    `values` (J n,) are those of the product's rows, each made of x of `row` and y of `partner`.
    """
    sums = torch.zeros(n, dtype=torch.float64, device=values.device)
    sums = sums.index_add(0, row, values.double()).index_add(0, partner, values.double())
    return sums * (n / len(values)) - values.double().mean()


def _derangement(folds: Tensor, generator: torch.Generator) -> Tensor:  # (n,) -> (n,) long
    """Return another row of the same fold for each row: a cyclic shift of the fold in random order."""
    partner = torch.empty_like(folds)
    for k in range(int(folds.max()) + 1):
        rows = (folds == k).nonzero()[:, 0]
        rows = rows[torch.randperm(len(rows), generator=generator).to(rows.device)]
        partner[rows] = rows.roll(1)
    return partner
