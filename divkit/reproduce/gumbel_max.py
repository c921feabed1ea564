"""`gumbel-max`: noise and an argmax draw categories; their relaxation trades bias for variance.

With Gumbel noise g, argmax(log α + g) has the law α/Σα and max(log α + g) the law Gumbel(log Σα).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.stats import chi2
from torch import Tensor

from divkit.models.gumbel import gumbel, maximum, relaxed
from divkit.reproduce.case import Case, Outcome, Quantity, Setup, at_least, at_most, near
from divkit.reproduce.drawing import panels

__all__ = ["GUMBEL_MAX", "GumbelMax"]


@dataclass(frozen=True)
class GumbelMax:
    """The protocol of `gumbel-max`."""

    alpha: tuple[float, ...] = (4.0, 2.0, 1.0, 0.5, 0.5)  # weights of the categories, not normalised
    reward: tuple[float, ...] = (1.0, -0.5, 2.0, 0.3, -1.0)  # f of each category
    temperatures: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # τ
    draws: int = 400_000
    errors: float = 5.0  # standard errors allowed: one run in 100,000 would fail by chance
    pvalue: float = 1e-6  # of the χ² test, below which it fails


def _noise(n: int, categories: int, generator: torch.Generator) -> Tensor:
    """Draw Gumbel noise (n, categories) from a generator: `gumbel` under a seed of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        return gumbel(torch.empty(n, categories, dtype=torch.float64))


def gradient(logits: Tensor, f: Tensor) -> Tensor:
    """Return d/d logits of E f(category), by enumeration: p_k (f_k − E f)."""
    p = torch.softmax(logits, 0)
    return p * (f - p @ f)


def relaxed_gradients(logits: Tensor, f: Tensor, noise: Tensor, temperature: float) -> Tensor:  # -> (n, k)
    """Return d/d logits of f · relaxed draw, one row for each draw: y_k (f_k − f · y)/τ."""
    y = relaxed(logits, noise, temperature)
    return y * (f - (y @ f)[:, None]) / temperature


def score_gradients(logits: Tensor, f: Tensor, noise: Tensor) -> Tensor:  # -> (n, k)
    """Return the score function's gradients f(category) ∇ log p(category), one row for each draw."""
    category = maximum(logits, noise)
    return (category @ f)[:, None] * (category - torch.softmax(logits, 0))


def _run(protocol: GumbelMax, setup: Setup) -> Outcome:
    generator = torch.Generator().manual_seed(setup.seed)
    alpha, f = (torch.tensor(values, dtype=torch.float64) for values in (protocol.alpha, protocol.reward))
    logits, shares, n = alpha.log(), alpha / alpha.sum(), protocol.draws
    noise = _noise(n, len(alpha), generator)
    rows = _draws(protocol, logits, shares, noise)
    exact = gradient(logits, f)
    table = []
    with setup.progress("gumbel-max", len(protocol.temperatures)) as done:
        for temperature in protocol.temperatures:
            slopes = relaxed_gradients(logits, f, noise, temperature)
            bias, spread = float((slopes.mean(0) - exact).norm()), float(slopes.var(0).sum().sqrt())
            table.append((temperature, bias, spread))
            title = f"bias of the relaxed gradient's mean against enumeration, τ = {temperature:g}"
            note = "shown: the price of relaxing"
            rows.append(Quantity(title, bias, exact=0.0, stderr=spread / math.sqrt(n), note=note))
            rows.append(Quantity(f"standard deviation of one draw's gradient, τ = {temperature:g}", spread))
            done(1)
    first, last = table[0], table[-1]
    rows.append(at_least("variance falls with τ: sd at τ = .1 over sd at τ = 5", first[2] / last[2], 3.0))
    rows.append(at_most("bias falls with τ: at τ = .1 over at τ = 5", first[1] / last[1], 0.5))
    score = score_gradients(logits, f, noise)
    spread = float(score.var(0).sum().sqrt())
    error, distance = spread / math.sqrt(n), float((score.mean(0) - exact).norm())
    title = "score function's gradient, distance of its mean to enumeration"
    rows.append(near(title, distance, 0.0, protocol.errors * error, stderr=error, note="unbiased"))
    rows.append(Quantity("standard deviation of one draw's score-function gradient", spread))
    return Outcome(rows, _figure(table, spread))


def _draws(protocol: GumbelMax, logits: Tensor, shares: Tensor, noise: Tensor) -> list[Quantity]:
    """Judge the categories and the law of the maximum."""
    n, allowed = protocol.draws, protocol.errors
    counts = maximum(logits, noise).sum(0)
    statistic = float(((counts - n * shares).square() / (n * shares)).sum())
    pvalue = float(chi2.sf(statistic, len(shares) - 1))
    rows = [at_least("p-value of χ²: argmax(log α + g) against the categories α/Σα", pvalue, protocol.pvalue)]
    for k, (count, share) in enumerate(zip(counts.tolist(), shares.tolist())):
        error = math.sqrt(share * (1 - share) / n)
        rows.append(near(f"share of category {k}", count / n, share, allowed * error, stderr=error))
    top = (logits + noise).max(1).values
    mean = float(logits.logsumexp(0)) + np.euler_gamma
    error = math.pi / math.sqrt(6 * n)
    title = "mean of max(log α + g): log Σα + Euler's constant"
    rows.append(near(title, float(top.mean()), mean, allowed * error, stderr=error))
    spread = math.pi / math.sqrt(6)
    error = spread * math.sqrt((27 / 5 - 1) / (4 * n))  # a Gumbel law's kurtosis is 27/5
    rows.append(near("standard deviation of the maximum: π/√6", float(top.std()), spread, allowed * error, stderr=error))
    return rows


def _figure(table: list[tuple[float, float, float]], score: float) -> Figure:
    figure, axes = panels(width=5.6, height=3.6)
    ax = axes[0, 0]
    temperatures, biases, spreads = zip(*table)
    ax.loglog(temperatures, biases, "o-", label="bias of the mean")
    ax.loglog(temperatures, spreads, "s-", label="standard deviation of one draw")
    ax.axhline(score, color="C2", linestyle="--", label="score function: its deviation, no bias")
    ax.set(xlabel="temperature τ", ylabel="relaxed gradient")
    ax.legend()
    return figure


PROTOCOL = GumbelMax()
GUMBEL_MAX = Case(
    name="gumbel-max",
    title="Gumbel noise and an argmax draw categories; relaxing them trades bias for variance",
    protocol=(
        f"α = {PROTOCOL.alpha}, {PROTOCOL.draws:,} draws of g. The argmax of log α + g against α/Σα by χ² (fails below p = "
        f"{PROTOCOL.pvalue:g}) and by shares, its maximum against Gumbel(log Σα) by mean and deviation, within "
        f"{PROTOCOL.errors:g} standard errors. The gradient in log α of E f, f = {PROTOCOL.reward}, through softmax((log α + "
        f"g)/τ) against enumeration, for τ from .1 to 5. Sources: Jang, Gu, Poole (2017); Maddison, Mnih, Teh (2017)."
    ),
    run=partial(_run, PROTOCOL),
    minutes=0.1,
)
