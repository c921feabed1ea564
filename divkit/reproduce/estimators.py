"""`estimators`: every named divergence against its exact value, over n and d: bias, spread, coverage, seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from divkit.core import registry
from divkit.core.estimate import Bias
from divkit.reproduce.case import Case, Outcome, Quantity, Setup
from divkit.reproduce.drawing import COLOURS, INK, RULE, panels
from divkit.reproduce.estimator_runs import Setting, Told, known, measure, summary, truth

__all__ = ["ESTIMATORS", "Estimators"]

Estimates = dict[Setting, dict[str, list[Told]]]
SEEDS = 40  # set apart for each setting, so that no two settings draw the same samples


@dataclass(frozen=True)
class Estimators:
    """The protocol of `estimators`."""

    short: tuple[Setting, ...] = tuple(Setting(n, d, 1.0) for d in (1, 5) for n in (500, 2000))
    full: tuple[Setting, ...] = tuple(
        Setting(n, d, shift) for shift in (1.0, 2.0) for d in (1, 5, 20) for n in (500, 2000, 10_000)
    )
    repeats: tuple[int, int] = (10, SEEDS)  # of each setting, in the short form and in the full one
    slow: tuple[str, ...] = ("w1-dual",)  # minutes at a time: in the full form only
    errors: float = 4.0  # standard errors of the mean by which a promise may be missed
    share: float = 0.03  # of the truth that a bound may lack besides four of its standard errors


def _run(protocol: Estimators, setup: Setup) -> Outcome:
    settings, repeats = protocol.full if setup.full else protocol.short, protocol.repeats[setup.full]
    estimates: Estimates = {}
    with setup.progress("estimators", len(settings) * repeats) as done:
        for place, setting in enumerate(settings):
            names = [name for name in known(setting) if setup.full or name not in protocol.slow]
            runs: dict[str, list[Told]] = {name: [] for name in names}
            for k in range(repeats):
                seed = (setup.seed * len(settings) + place) * SEEDS + k
                for name, values in setup.keep(f"{setting} {k}", partial(measure, setting, names, seed)).items():
                    runs[name].append(Told(*values))
                done(1)
            estimates[setting] = runs
    rows = [_row(protocol, name, setting, runs) for setting in settings for name, runs in estimates[setting].items()]
    return Outcome(rows, _figure(estimates))


def _row(protocol: Estimators, name: str, setting: Setting, runs: Sequence[Told]) -> Quantity:
    """Return the mean over repetitions, judged by what the estimator promises of its bias."""
    true = truth(name, setting)
    counts = summary(runs, true)
    tolerance = protocol.errors * max(counts["spread"], counts["stderr"]) / math.sqrt(len(runs)) + 1e-9 * abs(true)
    bias = registry.get(name, **setting.fields(name)).bias
    lack = math.inf if name.endswith("-classifier") else 4.0 * counts["stderr"] + protocol.share * abs(true)
    low, high = _promised(bias, true, tolerance, lack)
    return Quantity(
        f"{name}, {setting}",
        counts["mean"],
        true,
        stderr=counts["spread"] / math.sqrt(len(runs)),
        tolerance=tolerance,
        passed=None if bias is Bias.UNKNOWN else bool(low <= counts["mean"] <= high),
        note=f"{_rule(low, high)}; {_note(bias, counts, true, len(runs))}",
    )


def _promised(bias: Bias, true: float, tolerance: float, lack: float) -> tuple[float, float]:
    """Return the interval in which the mean lies by the estimator's declared bias.

    A lower bound may be below the truth by `lack`: infinite where the critic is the user's own.
    """
    return {
        Bias.NONE: (true - tolerance, true + tolerance),
        Bias.ABOVE: (true - tolerance, math.inf),
        Bias.BELOW: (true - lack, true + tolerance),
        Bias.UNKNOWN: (-math.inf, math.inf),
    }[bias]


def _rule(low: float, high: float) -> str:
    """Return the part of a note that says between which ends a row passes."""
    if math.isinf(low) and math.isinf(high):
        return "not judged"
    ends = (("at least", low), ("at most", high))
    return "wanted " + ", ".join(f"{words} {end:.4g}" for words, end in ends if math.isfinite(end))


def _note(bias: Bias, counts: Mapping[str, Any], true: float, repeats: int) -> str:
    """Return the part of a note that tells bias, spread, coverage and seconds."""
    unsolved = f", {counts['unsolved']} not solved" if counts["unsolved"] else ""
    return (
        f"{bias.value}; off by {100 * (counts['mean'] - true) / abs(true):+.1f} %, sd {counts['spread']:.2g}, mean stderr "
        f"{counts['stderr']:.2g}, 95 % interval holds the truth in {counts['coverage'] * repeats:.0f} of {repeats}, "
        f"{counts['seconds']:.2g} s{unsolved}"
    )


def _figure(estimates: Estimates) -> Figure:
    """Draw relative errors of single estimates: mean over repetitions with twice their spread, a panel per dimension."""
    dimensions = sorted({setting.d for setting in estimates})
    names = list(dict.fromkeys(name for runs in estimates.values() for name in runs))
    figure, axes = panels(1, len(dimensions), 4.4, 0.6 + 0.19 * len(names))
    for ax, d in zip(axes[0], dimensions):
        chosen = [setting for setting in estimates if setting.d == d and setting.shift == 1.0]
        ax.axvline(0.0, color=INK, linewidth=0.8)
        for k, setting in enumerate(chosen):
            for name, runs in estimates[setting].items():
                true = truth(name, setting)
                counts = summary(runs, true)
                y = names.index(name) + 0.26 * (k - (len(chosen) - 1) / 2)
                middle, half = (counts["mean"] - true) / abs(true), 2 * counts["spread"] / abs(true)
                ax.plot([middle - half, middle + half], [y, y], color=COLOURS[k], linewidth=1.3)
                ax.plot(middle, y, "o", color=COLOURS[k], markersize=3.2)
        for k, setting in enumerate(chosen):
            ax.plot([], [], "o-", color=COLOURS[k], markersize=3.2, label=f"n = {setting.n:,}")
        ax.set(xlim=(-1.0, 1.0), xticks=[-1.0, -0.5, 0.0, 0.5, 1.0], ylim=(len(names) - 0.4, -0.6))
        ax.set_yticks(range(len(names)), names if ax is axes[0, 0] else [])
        ax.grid(axis="y", color=RULE, linewidth=0.3)
        ax.set(xlabel="(estimate − exact)/exact", title=f"d = {d}: mean, and twice the spread")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=len(chosen))
    return figure


PROTOCOL = Estimators()
ESTIMATORS = Case(
    name="estimators",
    title="Every named divergence against its exact value: bias, spread, coverage, seconds",
    protocol=(
        f"P = N(δe₁, I), Q = N(0, I) in d dimensions, n samples of each; every registered name whose exact value dk.exact "
        f"knows, with default fields but order ½, weight .3, ε = 1 and bandwidth √(2d). A row is the mean over repetitions, "
        f"each with its own draws, directions and folds: of an unbiased estimator within {PROTOCOL.errors:g} standard errors "
        f"of exact, of one biased above not further below, of a bound not further above, nor, by the default critic, below by "
        f"more than four of its own standard errors and {PROTOCOL.share:.0%}. Seconds are medians and hold the inner problem "
        f"that several names share."
    ),
    run=partial(_run, PROTOCOL),
    minutes=2.0,
    short=f"Short form: n = 500 and 2,000, d = 1 and 5, δ = 1, {PROTOCOL.repeats[False]} repetitions.",
    full=f"Full form: n = 500, 2,000 and 10,000, d = 1, 5 and 20, δ = 1 and 2, {PROTOCOL.repeats[True]} repetitions.",
    full_minutes=300.0,
)
