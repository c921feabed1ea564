"""`categorical-bias`: what learning by sample Wasserstein distances converges to, and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import binom, multinomial
from torch import Tensor

from divkit.core.divergence import Divergence
from divkit.data.measure import Measure
from divkit.kernel import Energy
from divkit.reproduce.case import Case, Outcome, Quantity, Setup, at_least, at_most, near
from divkit.reproduce.drawing import panels
from divkit.transport import Wasserstein

__all__ = ["CATEGORICAL_BIAS", "CategoricalBias"]

Array = NDArray[np.float64]

TRUTH = np.array([0.35, 0.2, 0.1, 0.35])  # masses of the categories 0, 1, 2, 3, on a line
W1, CRAMER = Wasserstein(1.0), Energy(factor=0.5, unbiased=False)


@dataclass(frozen=True)
class CategoricalBias:
    """The protocol of `categorical-bias`."""

    sizes: tuple[int, ...] = (1, 2, 3, 5)  # m, draws of a sample; Cramér's distance and the likelihood have the first three
    steps: int = 1500  # of the stochastic descent
    rate: float = 0.03  # of Adam


def samples(m: int) -> Iterator[Array]:
    """Yield all counts of m draws."""
    for bars in np.ndindex(*[m + 1] * (len(TRUTH) - 1)):
        if sum(bars) <= m:
            yield np.array([*bars, m - sum(bars)], dtype=float)


def law(masses: Tensor) -> Measure:
    """Return the law of these masses on 0, 1, 2, 3."""
    return Measure(torch.arange(len(TRUTH), dtype=torch.float64)[:, None], masses)


def by_search(m: int) -> Array:
    """Return the minimiser of the mean W₁ over all samples among the multiples of 1/m: its kinks are there."""
    every = list(samples(m))
    chance = multinomial.pmf(np.array(every), m, TRUTH)
    laws = [law(torch.from_numpy(counts / m)) for counts in every]
    table = np.array([[float(W1.loss(sample, candidate)) for sample in laws] for candidate in laws])
    return every[int(np.argmin(table @ chance))] / m


def predicted(m: int) -> Array:
    """Return masses whose distribution function is the median of the sample's: median(Bin(m, F))/m."""
    f = binom.median(m, np.clip(np.cumsum(TRUTH)[:-1], 0, 1)) / m
    return np.diff([0.0, *f, 1.0])


def by_descent(divergence: Divergence | None, m: int) -> Array:
    """Return the minimiser of the mean loss over all samples, in logits, by a quasi-Newton method; None is the likelihood."""
    every = torch.from_numpy(np.array(list(samples(m))) / m)
    chance = torch.from_numpy(multinomial.pmf(every.numpy() * m, m, TRUTH))
    logits = torch.zeros(len(TRUTH), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [logits], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        q = logits.softmax(0)
        if divergence is None:
            mean = -(chance @ every) @ q.log()
        else:
            mean = torch.stack([p * divergence.loss(law(sample), law(q)) for p, sample in zip(chance, every)]).sum()
        mean.backward()  # type: ignore[no-untyped-call]
        return mean

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return logits.detach().softmax(0).numpy()


def by_sampling(divergence: Divergence, m: int, protocol: CategoricalBias, seed: int) -> Array:
    """Learn masses by stochastic gradients, a fresh sample of m at every step; average the second half."""
    draw = np.random.default_rng(seed)
    logits = torch.zeros(len(TRUTH), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=protocol.rate)
    total = np.zeros(len(TRUTH))
    half = protocol.steps // 2
    for step in range(protocol.steps):
        sample = torch.from_numpy(draw.multinomial(m, TRUTH) / m)
        optimiser.zero_grad()
        divergence.loss(law(sample), law(logits.softmax(0))).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += logits.detach().softmax(0).numpy() if step >= half else 0.0
    return total / (protocol.steps - half)


def gap(masses: Array) -> float:
    """Return the largest difference of distribution functions from the truth's."""
    return float(np.abs(np.cumsum(masses - TRUTH)).max())


def _run(protocol: CategoricalBias, setup: Setup) -> Outcome:
    rows: list[Quantity] = []
    sizes = protocol.sizes
    laws: dict[str, Array] = {"truth": TRUTH}
    with setup.progress("categorical-bias", 2 * len(sizes) + 2) as done:
        for m in sizes:
            laws[f"W₁, m = {m}"] = masses = by_search(m)
            f, g = np.cumsum(masses), np.cumsum(predicted(m))
            for k in range(len(TRUTH) - 1):
                title = f"minimiser of the mean sample W₁, m = {m}: F({k}), truth {np.cumsum(TRUTH)[k]:g}"
                rows.append(near(title, float(f[k]), float(g[k]), 1e-9))
            done(1)
        for m in sizes[:3]:
            rows.append(near(f"Cramér's minimiser, m = {m}: largest |F − F_P|", gap(by_descent(CRAMER, m)), 0.0, 1e-5))
            rows.append(near(f"likelihood's minimiser, m = {m}: largest |F − F_P|", gap(by_descent(None, m)), 0.0, 1e-5))
            done(1)
        laws["Cramér, m = 1, learned"] = masses = by_sampling(CRAMER, 1, protocol, setup.seed)
        rows.append(at_most("Cramér by stochastic gradients, m = 1: largest |F − F_P|", gap(masses), 0.1))
        done(1)
        laws["W₁, m = 1, learned"] = masses = by_sampling(W1, 1, protocol, setup.seed)
        middle = int(np.searchsorted(np.cumsum(TRUTH), 0.5))
        title = f"W₁ by stochastic gradients, m = 1: mass on the median, truth {TRUTH[middle]:g}"
        rows.append(at_least(title, float(masses[middle]), 0.8, exact=1.0))
        done(1)
    return Outcome(rows, _figure(laws))


def _figure(laws: dict[str, Array]) -> Figure:
    figure, axes = panels(width=7.2, height=3.2)
    ax, width = axes[0, 0], 0.8 / len(laws)
    for place, (name, masses) in enumerate(laws.items()):
        ax.bar(np.arange(len(TRUTH)) + (place - len(laws) / 2 + 0.5) * width, masses, 0.9 * width, label=name)
    ax.set_xticks(range(len(TRUTH)))
    ax.set(xlabel="category", ylabel="mass")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


PROTOCOL = CategoricalBias()
CATEGORICAL_BIAS = Case(
    name="categorical-bias",
    title="Sample Wasserstein distances are minimised by a median of distribution functions, not by the truth",
    protocol=(
        f"P has masses {', '.join(f'{p:g}' for p in TRUTH)} on 0, 1, 2, 3. The mean of W₁(P̂_m, Q) over all samples of m is "
        f"minimised over Q by trying all masses that are multiples of 1/m; of Cramér's distance and of the likelihood by a "
        f"quasi-Newton method. Then both distances are descended by Adam (rate {PROTOCOL.rate:g}, {PROTOCOL.steps:,} steps, "
        f"one draw each), the second half averaged."
    ),
    run=partial(_run, PROTOCOL),
    minutes=0.2,
)
