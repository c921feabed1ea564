"""`bernoulli-bias`: sample Wasserstein gradients are biased, Cramér's are not: coins, every sample enumerated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.stats import binom
from torch import Tensor

from divkit.core.divergence import Divergence
from divkit.data.measure import Measure
from divkit.kernel import Energy
from divkit.reproduce.case import UNCONFIRMED, Case, Outcome, Quantity, Setup, near
from divkit.reproduce.drawing import RULE, panels
from divkit.reproduce.kit import number
from divkit.transport import Wasserstein

__all__ = ["BERNOULLI_BIAS", "BernoulliBias"]

LOSSES: dict[str, Divergence] = {"W₁": Wasserstein(1.0), "Cramér": Energy(factor=0.5, unbiased=False)}
PAPER = f"Bellemare et al. (2017), theorem 1; {UNCONFIRMED}"


@dataclass(frozen=True)
class BernoulliBias:
    """The protocol of `bernoulli-bias`."""

    sizes: tuple[int, ...] = (2, 3, 5, 10, 20)  # m of the samples whose gradients are compared
    coin: float = 0.6  # the true coin of the minimisers
    minimised: tuple[int, ...] = (1, 2, 3, 4, 7)  # m of the samples whose mean loss is minimised


def coin(theta: Tensor) -> Measure:
    """Return the law of a coin as a weighted sample of 0 and 1, differentiable in θ."""
    return Measure(torch.tensor([[0.0], [1.0]], dtype=torch.float64), torch.stack([1 - theta, theta]))


def loss_and_gradient(divergence: Divergence, share: float, theta: float) -> tuple[float, float]:
    """Return the loss between a sample with that share of ones and the coin θ, and its derivative in θ."""
    at = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    value = divergence.loss(coin(number(share)), coin(at))
    (slope,) = torch.autograd.grad(value, at)
    return float(value.detach()), float(slope)


def mean_over_samples(m: int, coin: float, value: Callable[[float], float]) -> float:
    """Return the expectation over the m + 1 samples of m flips."""
    return float(sum(binom.pmf(k, m, coin) * value(k / m) for k in range(m + 1)))


def mean_gradient(divergence: Divergence, m: int, at: float) -> float:
    """Return the expected sample gradient at θ for the coin 1 − 1/m."""
    return mean_over_samples(m, 1 - 1 / m, lambda share: loss_and_gradient(divergence, share, at)[1])


def bias(divergence: Divergence, m: int, at: float) -> float:
    """Return how far the mean sample gradient at θ is from the gradient of the loss to the true coin 1 − 1/m."""
    return abs(mean_gradient(divergence, m, at) - loss_and_gradient(divergence, 1 - 1 / m, at)[1])


def minimiser(divergence: Divergence, m: int, coin: float, grid: np.ndarray) -> float:
    """Return the θ of a grid at which the mean sample loss is least."""

    def mean(theta: float) -> float:
        return mean_over_samples(m, coin, lambda share: loss_and_gradient(divergence, share, theta)[0])

    return float(grid[int(np.argmin([mean(theta) for theta in grid]))])


def _run(protocol: BernoulliBias, setup: Setup) -> Outcome:
    rows: list[Quantity] = []
    with setup.progress("bernoulli-bias", len(protocol.sizes) + len(protocol.minimised)) as done:
        for m in protocol.sizes:
            at = 1 - 1 / (2 * m)  # between the true coin and 1
            for name, truth in (("W₁", 2 * (1 - 1 / m) ** m), ("Cramér", 0.0)):
                rows.append(near(f"bias of {name}'s gradient, coin 1 − 1/m, m = {m}", bias(LOSSES[name], m, at), truth, 1e-9))
            done(1)
        least, floor = min(row.ours for row in rows[::2] if row.ours is not None), float(2 * np.exp(-2))
        beside: Any = {"paper": floor, "paper_source": PAPER, "note": "the paper's is a lower bound, 2/e²"}
        rows.append(Quantity("least of these biases", least, passed=least >= floor, **beside))
        for m in protocol.minimised:
            rows += _minimisers(m, protocol.coin)
            done(1)
    return Outcome(rows, _figure())


def _minimisers(m: int, coin: float) -> list[Quantity]:
    """Judge the minimisers of the mean sample loss, searched among the kinks of the loss and the coin."""
    grid = np.unique(np.concatenate([np.arange(m + 1) / m, [coin]]))[1:-1] if m > 1 else np.array([1e-6, coin, 1 - 1e-6])
    title, best = f"coin {coin:g}, m = {m}", {name: minimiser(loss, m, coin, grid) for name, loss in LOSSES.items()}
    median, note = float(np.clip(binom.median(m, coin) / m, grid[0], grid[-1])), "the median of the sample's share of ones"
    return [
        near(f"minimiser of the mean sample W₁, {title}", best["W₁"], median, 1e-9, note=note),
        near(f"minimiser of the mean sample Cramér, {title}", best["Cramér"], coin, 1e-9),
    ]


def _figure() -> Figure:
    figure, axes = panels(columns=2)
    left, right = axes[0]
    m, grid = 10, np.linspace(0.02, 0.98, 49)
    for place, (name, divergence) in enumerate(LOSSES.items()):
        mean = [mean_gradient(divergence, m, t) for t in grid]
        true = [loss_and_gradient(divergence, 1 - 1 / m, t)[1] for t in grid]
        left.plot(grid, true, color=f"C{place}", label=f"{name}, true")
        left.plot(grid, mean, "o", color=f"C{place}", markersize=3, label=f"{name}, mean over samples")
    left.set(xlabel="θ", ylabel="gradient in θ", title=f"coin 1 − 1/m, m = {m}")
    left.legend()
    coins = np.linspace(0.005, 0.995, 199)
    right.plot(coins, coins, color=RULE, label="Cramér, every m")
    for place, m in enumerate((1, 3, 10)):
        right.plot(coins, binom.median(m, coins) / m, color=f"C{place + 2}", drawstyle="steps-mid", label=f"W₁, m = {m}")
    right.set(xlabel="true coin", ylabel="minimiser of the mean sample loss", title="where learning ends")
    right.legend()
    return figure


BERNOULLI_BIAS = Case(
    name="bernoulli-bias",
    title="Gradients of sample Wasserstein distances are biased, those of Cramér's are not",
    protocol=(
        "P is a coin, Q_θ another; losses W₁ and Cramér between an empirical sample of m flips and Q_θ, their gradients in θ "
        "by autograd through the weights of two points, expectations over all m + 1 samples. For the coin 1 − 1/m the bias of "
        "W₁'s gradient at θ = 1 − 1/2m is 2(1 − 1/m)^m. Minimisers are searched among the kinks of the mean loss and the coin."
    ),
    run=partial(_run, BernoulliBias()),
    minutes=0.1,
)
