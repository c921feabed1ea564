"""`estimators`: every named divergence against its exact value, over n and d: bias, spread, coverage, seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from divkit.core import registry
from divkit.core.estimate import Bias
from divkit.reproduce.case import Case, Outcome, Row, Setup
from divkit.reproduce.drawing import COLOURS, INK, RULE, panels
from divkit.reproduce.estimator_runs import Setting, Told, known, measure, summary, truth

__all__ = ["ESTIMATORS"]

SHORT = tuple(Setting(n, d, 1.0) for d in (1, 5) for n in (500, 2000))
FULL = tuple(Setting(n, d, shift) for shift in (1.0, 2.0) for d in (1, 5, 20) for n in (500, 2000, 10_000))
SLOW = ("w1-dual",)  # minutes at a time: in the full form only
REPEATS, MANY = 10, 40
ERRORS = 4.0  # standard errors of the mean that a promise may be missed by
SHARE = 0.03  # of the truth that a bound may lack besides four of its standard errors

Found = dict[Setting, dict[str, list[Told]]]


def _run(setup: Setup) -> Outcome:
    settings, repeats = (FULL, MANY) if setup.full else (SHORT, REPEATS)
    found: Found = {}
    with setup.progress("estimators", len(settings) * repeats) as done:
        for place, setting in enumerate(settings):
            names = [name for name in known(setting) if setup.full or name not in SLOW]
            told: dict[str, list[Told]] = {name: [] for name in names}
            for k in range(repeats):
                seed = (setup.seed * len(settings) + place) * MANY + k
                for name, values in setup.keep(f"{setting} {k}", partial(measure, setting, names, seed)).items():
                    told[name].append(Told(*values))
                done(1)
            found[setting] = told
    rows = [_row(name, setting, told) for setting in settings for name, told in found[setting].items()]
    return Outcome(rows, _figure(found))


def _row(name: str, setting: Setting, told: Sequence[Told]) -> Row:
    """The mean over repetitions, judged by what the estimator promises of its bias."""
    true, made = truth(name, setting), summary(told, truth(name, setting))
    tolerance = ERRORS * max(made["spread"], made["stderr"]) / math.sqrt(len(told)) + 1e-9 * abs(true)
    bias = registry.get(name, **setting.fields(name)).bias
    low, high = _promised(bias, made, true, tolerance, lower=not name.endswith("-classifier"))
    return Row(
        f"{name}, {setting}",
        made["mean"],
        true,
        stderr=made["spread"] / math.sqrt(len(told)),
        tolerance=tolerance,
        passed=None if bias is Bias.UNKNOWN else bool(low <= made["mean"] <= high),
        note=f"{_wanted(low, high)}; {_note(bias, made, true, len(told))}",
    )


def _promised(bias: Bias, made: Mapping[str, Any], true: float, tolerance: float, *, lower: bool) -> tuple[float, float]:
    """Where the estimator's declared bias says that the mean is.

    Of a bound that is useless far below, the other side is judged too where `lower` is true: where the critic is the library's.
    """
    low = true - 4.0 * made["stderr"] - SHARE * abs(true) if lower else -math.inf
    return {
        Bias.NONE: (true - tolerance, true + tolerance),
        Bias.ABOVE: (true - tolerance, math.inf),
        Bias.BELOW: (low, true + tolerance),
        Bias.UNKNOWN: (-math.inf, math.inf),
    }[bias]


def _wanted(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return "not judged"
    ends = (("at least", low), ("at most", high))
    return "wanted " + ", ".join(f"{words} {end:.4g}" for words, end in ends if math.isfinite(end))


def _note(bias: Bias, made: Mapping[str, Any], true: float, repeats: int) -> str:
    unsolved = f", {made['unsolved']} not solved" if made["unsolved"] else ""
    return (
        f"{bias.value}; off by {100 * (made['mean'] - true) / abs(true):+.1f} %, sd {made['spread']:.2g}, mean stderr "
        f"{made['stderr']:.2g}, 95 % interval holds the truth in {made['coverage'] * repeats:.0f} of {repeats}, "
        f"{made['seconds']:.2g} s{unsolved}"
    )


def _figure(found: Found) -> Figure:
    """Relative errors of single estimates: mean over repetitions with twice their spread, a panel per dimension."""
    dimensions = sorted({setting.d for setting in found})
    names = list(dict.fromkeys(name for told in found.values() for name in told))
    figure, axes = panels(1, len(dimensions), 4.4, 0.6 + 0.19 * len(names))
    for ax, d in zip(axes[0], dimensions):
        chosen = [setting for setting in found if setting.d == d and setting.shift == 1.0]
        ax.axvline(0.0, color=INK, linewidth=0.8)
        for k, setting in enumerate(chosen):
            for name, told in found[setting].items():
                true, made = truth(name, setting), summary(told, truth(name, setting))
                y = names.index(name) + 0.26 * (k - (len(chosen) - 1) / 2)
                middle, half = (made["mean"] - true) / abs(true), 2 * made["spread"] / abs(true)
                ax.plot([middle - half, middle + half], [y, y], color=COLOURS[k], linewidth=1.3)
                ax.plot(middle, y, "o", color=COLOURS[k], markersize=3.2)
        for k, setting in enumerate(chosen):
            ax.plot([], [], "o-", color=COLOURS[k], markersize=3.2, label=f"n = {setting.n:,}")
        ax.set_xlim(-1.0, 1.0)
        ax.set_xticks([-1.0, -0.5, 0.0, 0.5, 1.0])
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_yticks(range(len(names)), names if ax is axes[0, 0] else [])
        ax.grid(axis="y", color=RULE, linewidth=0.3)
        ax.set_xlabel("(estimate − exact)/exact")
        ax.set_title(f"d = {d}: mean, and twice the spread")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=len(chosen))
    return figure


ESTIMATORS = Case(
    name="estimators",
    title="Every named divergence against its exact value: bias, spread, coverage, seconds",
    protocol=(
        "P = N(δe₁, I), Q = N(0, I) in d dimensions, n samples of each; every registered name whose exact value dk.exact "
        "knows, with default fields but order ½, weight .3, ε = 1 and bandwidth √(2d). A row is the mean over repetitions, "
        "each with its own draws, directions and folds: of "
        f"an unbiased estimator within {ERRORS:g} standard errors of exact, of one biased above not further below, of a bound "
        "not further above, nor, by the default critic, below by more than four of its own standard errors and "
        f"{SHARE:.0%}. Seconds are medians and hold the inner problem that several names share."
    ),
    run=_run,
    minutes=2.0,
    short=f"Short form: n = 500 and 2,000, d = 1 and 5, δ = 1, {REPEATS} repetitions.",
    full=f"Full form: n = 500, 2,000 and 10,000, d = 1, 5 and 20, δ = 1 and 2, {MANY} repetitions.",
    full_minutes=300.0,
)
