"""`gumbel-max`: noise and an argmax draw categories; their relaxation trades bias for variance."""

from __future__ import annotations

import math

import torch
from matplotlib.figure import Figure
from scipy.stats import chi2
from torch import Tensor

from divkit.models.gumbel import gumbel, maximum, relaxed
from divkit.reproduce.case import Case, Outcome, Row, Setup, at_least, at_most, near
from divkit.reproduce.drawing import panels

__all__ = ["GUMBEL_MAX"]

WEIGHTS = (4.0, 2.0, 1.0, 0.5, 0.5)  # α, not normalised
REWARD = (1.0, -0.5, 2.0, 0.3, -1.0)  # of each category
TEMPERATURES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
DRAWS = 400_000
ERRORS = 5.0  # standard errors allowed: one run in 100 000 would fail by chance
LEAST = 1e-6  # p-value of the χ² test that fails
EULER = 0.5772156649015329


def _noise(n: int, generator: torch.Generator) -> Tensor:
    """Gumbel noise (n, k) from a generator: `gumbel` under a seed of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        return gumbel(torch.empty(n, len(WEIGHTS), dtype=torch.float64))


def gradient(logits: Tensor) -> Tensor:
    """d/d logits of E f(category), by enumeration: p_k (f_k − E f)."""
    p, f = torch.softmax(logits, 0), torch.tensor(REWARD, dtype=torch.float64)
    return p * (f - p @ f)


def relaxed_gradients(logits: Tensor, noise: Tensor, temperature: float) -> Tensor:  # -> (n, k)
    """d/d logits of f · relaxed draw, one row for each draw: y_k (f_k − f · y)/τ."""
    y, f = relaxed(logits, noise, temperature), torch.tensor(REWARD, dtype=torch.float64)
    return y * (f - (y @ f)[:, None]) / temperature


def _run(setup: Setup) -> Outcome:
    generator = torch.Generator().manual_seed(setup.seed)
    weights = torch.tensor(WEIGHTS, dtype=torch.float64)
    logits, shares = weights.log(), weights / weights.sum()
    noise = _noise(DRAWS, generator)
    rows = _draws(logits, shares, noise)
    exact = gradient(logits)
    table = []
    with setup.progress("gumbel-max", len(TEMPERATURES)) as done:
        for temperature in TEMPERATURES:
            found = relaxed_gradients(logits, noise, temperature)
            bias, spread = float((found.mean(0) - exact).norm()), float(found.var(0).sum().sqrt())
            table.append((temperature, bias, spread, spread / math.sqrt(DRAWS)))
            done(1)
    for temperature, bias, spread, noisy in table:
        said = "bias of the relaxed gradient's mean against enumeration"
        rows.append(Row(f"{said}, τ = {temperature:g}", bias, exact=0.0, stderr=noisy, note="shown: the price of relaxing"))
        rows.append(Row(f"standard deviation of one draw's gradient, τ = {temperature:g}", spread))
    first, last = table[0], table[-1]
    rows.append(at_least("variance falls with τ: sd at τ = .1 over sd at τ = 5", first[2] / last[2], 3.0))
    rows.append(at_most("bias falls with τ: at τ = .1 over at τ = 5", first[1] / last[1], 0.5))
    score = _score_function(logits, noise)
    spread = float(score.var(0).sum().sqrt())
    stderr, distance = spread / math.sqrt(DRAWS), float((score.mean(0) - exact).norm())
    said = "score function's gradient, distance of its mean to enumeration"
    rows.append(near(said, distance, 0.0, ERRORS * stderr, stderr=stderr, note="unbiased"))
    rows.append(Row("standard deviation of one draw's score-function gradient", spread))
    return Outcome(rows, _figure(table, spread))


def _draws(logits: Tensor, shares: Tensor, noise: Tensor) -> list[Row]:
    """Categories and the law of the maximum."""
    counts = maximum(logits, noise).sum(0)
    statistic = float(((counts - DRAWS * shares).square() / (DRAWS * shares)).sum())
    pvalue = float(chi2.sf(statistic, len(WEIGHTS) - 1))
    rows = [at_least("p-value of χ²: argmax(log α + g) against the categories α/Σα", pvalue, LEAST)]
    for k, (count, share) in enumerate(zip(counts.tolist(), shares.tolist())):
        error = math.sqrt(share * (1 - share) / DRAWS)
        rows.append(near(f"share of category {k}", count / DRAWS, share, ERRORS * error, stderr=error))
    top = (logits + noise).max(1).values
    location = float(logits.logsumexp(0))
    error = math.pi / math.sqrt(6 * DRAWS)
    rows.append(
        near(
            "mean of max(log α + g): log Σα + Euler's constant",
            float(top.mean()),
            location + EULER,
            ERRORS * error,
            stderr=error,
        )
    )
    spread = math.pi / math.sqrt(6)
    error = spread * math.sqrt((27 / 5 - 1) / (4 * DRAWS))  # a Gumbel law's kurtosis is 27/5
    rows.append(near("standard deviation of the maximum: π/√6", float(top.std()), spread, ERRORS * error, stderr=error))
    return rows


def _score_function(logits: Tensor, noise: Tensor) -> Tensor:
    """f(category) ∇ log p(category): (n, k)."""
    drawn, f = maximum(logits, noise), torch.tensor(REWARD, dtype=torch.float64)
    return (drawn @ f)[:, None] * (drawn - torch.softmax(logits, 0))


def _figure(table: list[tuple[float, float, float, float]], score: float) -> Figure:
    figure, axes = panels(width=5.6, height=3.6)
    ax = axes[0, 0]
    temperatures, biases, spreads, _ = zip(*table)
    ax.loglog(temperatures, biases, "o-", label="bias of the mean")
    ax.loglog(temperatures, spreads, "s-", label="standard deviation of one draw")
    ax.axhline(score, color="C2", linestyle="--", label="score function: its deviation, no bias")
    ax.set_xlabel("temperature τ")
    ax.set_ylabel("relaxed gradient")
    ax.legend()
    return figure


GUMBEL_MAX = Case(
    name="gumbel-max",
    title="Gumbel noise and an argmax draw categories; relaxing them trades bias for variance",
    protocol=(
        f"α = {WEIGHTS}, {DRAWS:,} draws of g. The argmax of log α + g against α/Σα by χ² (fails below p = {LEAST:g}) and "
        f"by shares, its maximum against Gumbel(log Σα) by mean and deviation, within {ERRORS:g} standard errors. The "
        f"gradient in log α of E f, f = {REWARD}, through softmax((log α + g)/τ) against enumeration, for τ from .1 to 5. "
        f"Sources: Jang, Gu, Poole (2017); Maddison, Mnih, Teh (2017)."
    ),
    run=_run,
    minutes=0.1,
)
