"""Diagnosis of heavy tails: whether the variance of a bound's terms, or even their mean, can be had from samples.

A generalised Pareto tail of index k has moments of every order below 1/k: a variance for k < ½, a mean for k < 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from divkit.core.notes import Note, Notes

__all__ = ["TailSettings", "pareto_index", "verdict"]


@dataclass(frozen=True)
class TailSettings:
    """Choices of the tail fit (Zhang and Stephens) and of its verdict (Vehtari et al.).

    Attributes
    ----------
    scales : int
        Candidate scales of the fit, beyond the square root of the tail's size.
    prior : float
        The belief in an index of ½ counts as much as so many rows of the tail, as few rows say little.
    light : float
        Where no row lies beyond so many root mean squares there is no tail; steps between clipped logits would look like one.
    doubtful : float
        The index from which the standard error is called unreliable.
    """

    scales: int = 30
    prior: float = 10.0
    light: float = 4.0
    doubtful: float = 0.7


def pareto_index(values: Tensor, settings: TailSettings = TailSettings()) -> float:
    """Return the index k of a generalised Pareto tail fitted to the largest of |values − median|.

    The empirical-Bayes fit of Zhang and Stephens (2009) to the largest min(n/5, 3√n), drawn towards ½ where they are few, as
    Vehtari, Simpson, Gelman, Yao, Gabry (2024) use it. A bounded or light tail gives k near or below 0.

    Parameters
    ----------
    values : Tensor (n,)
    settings : TailSettings

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
    light = float(size[-1]) <= settings.light * float(size.square().mean().sqrt())
    count = int(min(len(size) / 5, 3 * math.sqrt(len(size))))
    if count < 5:
        return 0.0
    tail = size[-count:] - size[-count - 1]
    tail = tail[tail > 0]
    if len(tail) < 5:
        return 0.0
    tail = tail / tail[-1]
    n = len(tail)
    steps = torch.arange(1, settings.scales + int(math.sqrt(n)) + 1, dtype=torch.float64, device=tail.device)
    theta = 1 + (1 - torch.sqrt(len(steps) / (steps - 0.5))) / (3 * tail[int(n / 4 + 0.5) - 1])  # −k/scale of each candidate
    shapes = torch.log1p(-theta[:, None] * tail).mean(1)
    weights = torch.softmax(n * (torch.log(-theta / shapes) - shapes - 1), 0)
    best = torch.log1p(-(weights @ theta) * tail).mean()
    index = float((n * best + settings.prior * 0.5) / (n + settings.prior))
    return min(index, 0.0) if light else index


def verdict(index: float, side: str, settings: TailSettings = TailSettings()) -> Notes:
    """Return the notes on a tail of this index in the terms of `side`: a sentence from ½ on, a warning from .7 on."""
    notes: dict[str, float | int | str] = {Note.TAIL_INDEX: index}
    which = f"the terms of {side} have a heavy tail (Pareto index {index:.2f})"
    if index >= 1:
        sentence = "their mean cannot be estimated from samples, and value and standard error say little"
        notes[Note.UNRELIABLE] = f"{which}: {sentence}."
    elif index >= settings.doubtful:
        sentence = "their variance is infinite or nearly so, and the standard error understates the error"
        notes[Note.UNRELIABLE] = f"{which}: {sentence}."
    elif index >= 0.5:
        notes[Note.HEAVY_TAIL] = f"{which}: their variance may be infinite, and the standard error is rough."
    return notes
