"""How heavy the tails of a bound's terms are: whether their variance, or the divergence itself, can be had from samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["pareto_index", "verdict"]

GRID = 30  # candidate scales beyond the square root of the tail's size
PRIOR = 10.0  # observations' worth of belief in an index of ½, as few exceedances say little
LIGHT = (
    4.0  # root mean squares: where no row lies further out there is no tail, whatever small steps between cut logits look like
)
INFINITE_VARIANCE, DOUBTFUL, INFINITE_MEAN = 0.5, 0.7, 1.0


def pareto_index(values: Tensor) -> float:
    """The index k of a generalised Pareto tail fitted to the largest of |values − median|: moments exist up to order 1/k.

    The empirical-Bayes fit of Zhang and Stephens (2009) to the largest min(n/5, 3√n), drawn towards ½ where they are few, as
    Vehtari, Simpson, Gelman, Yao, Gabry (2024) use it. A bounded or light tail gives k near or below 0.

    Parameters
    ----------
    values : Tensor (n,)

    Returns
    -------
    float
        0 where fewer than 5 rows would be fitted or all of them are equal.

    Examples
    --------
    >>> u = torch.linspace(0.0005, 0.9995, 1000, dtype=torch.float64)
    >>> 0.6 < pareto_index(u ** -0.75) < 0.85
    True
    """
    size = torch.sort((values.double() - values.double().median()).abs()).values
    light = float(size[-1]) <= LIGHT * float(size.square().mean().sqrt())
    count = int(min(len(size) / 5, 3 * math.sqrt(len(size))))
    if count < 5:
        return 0.0
    tail = size[-count:] - size[-count - 1]
    tail = tail[tail > 0]
    if len(tail) < 5:
        return 0.0
    tail = tail / tail[-1]
    n = len(tail)
    steps = torch.arange(1, GRID + int(math.sqrt(n)) + 1, dtype=torch.float64, device=tail.device)
    theta = 1 + (1 - torch.sqrt(len(steps) / (steps - 0.5))) / (3 * tail[int(n / 4 + 0.5) - 1])  # −k/scale of each candidate
    shapes = torch.log1p(-theta[:, None] * tail).mean(1)
    weights = torch.softmax(n * (torch.log(-theta / shapes) - shapes - 1), 0)
    best = torch.log1p(-(weights @ theta) * tail).mean()
    index = float((n * best + PRIOR * INFINITE_VARIANCE) / (n + PRIOR))
    return min(index, 0.0) if light else index


def verdict(index: float, side: str) -> dict[str, float | str]:
    """The diagnostic as notes: the index always; from ½ on a sentence, from .7 on one that warns."""
    notes: dict[str, float | str] = {"tail_index": index}
    which = f"the terms of {side} have a heavy tail (Pareto index {index:.2f})"
    if index >= INFINITE_MEAN:
        notes["unreliable"] = f"{which}: their mean cannot be estimated from samples, and value and standard error say little."
    elif index >= DOUBTFUL:
        notes["unreliable"] = f"{which}: their variance is infinite or nearly so, and the standard error understates the error."
    elif index >= INFINITE_VARIANCE:
        notes["heavy_tail"] = f"{which}: their variance may be infinite, and the standard error is rough."
    return notes
