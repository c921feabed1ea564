"""Whether errors are honest: coverage of 95 % intervals, spread over mean stderr, share of estimates above the truth.

    python benchmarks/calibration.py [--runs 12] [--n 2000] [--dims 1 5 20] [--shifts .5 1 2] [--names kl js …] [--out DIR]

P = N(δe₁, I), Q = N(0, I) in d dimensions. "Covered" counts intervals that hold the truth, bias included; "reached" counts
truths that are not below a bound's lower confidence limit: of a lower bound that share should be at least 97.5 %, whatever
its bias. "Known" is the spread over mean stderr of the exact logit on the same draws: so far the draws themselves are from
typical ones. Results that are there already are not computed again.
"""

from __future__ import annotations

import argparse
import json
import warnings
from itertools import product
from pathlib import Path

import numpy as np

from divkit.core import registry
from divkit.fdiv import DensityRatio
from divkit.reproduce.estimator_runs import Setting, Told, measure, summary, truth

NAMES = (
    *("kl", "reverse-kl", "js", "squared-hellinger", "tv", "pearson", "kl-dv", "renyi", "pearson-hcr", "kl-knn"),
    *("energy", "mmd", "sliced-w2", "sinkhorn", "w2"),
)


def measured(options: argparse.Namespace) -> dict[Setting, dict[str, list[Told]]]:
    """All estimates of every setting, kept in a file."""
    path = options.out / "calibration.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    done = {(r["n"], r["d"], r["shift"], r["run"]): r["told"] for r in map(json.loads, lines)}
    found: dict[Setting, dict[str, list[Told]]] = {}
    for d, shift, run in product(options.dims, options.shifts, range(options.runs)):
        key = (options.n, d, shift, run)
        setting = Setting(options.n, d, shift)
        missing = [name for name in options.names if name not in done.get(key, {})]
        if missing:
            done[key] = {**done.get(key, {}), **measure(setting, missing, 5000 + run)}
            with path.open("a") as file:
                file.write(json.dumps({"n": options.n, "d": d, "shift": shift, "run": run, "told": done[key]}) + "\n")
        told = found.setdefault(setting, {name: [] for name in options.names})
        for name in options.names:
            told[name].append(Told(*done[key][name]))
    return found


def known(name: str, setting: Setting, runs: int) -> float:
    """Spread over mean stderr of the exact logit on the same draws; NaN for what is not read from a logit."""
    exact = DensityRatio(lambda points: setting.shift * (points[:, 0] - setting.shift / 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            divergence = exact.divergence(name, **setting.fields(name))
        except ValueError:
            return np.nan
        made = [divergence.estimate(*setting.samples(5000 + run)) for run in range(runs)]
    return float(np.std([e.value for e in made], ddof=1) / np.mean([e.stderr for e in made]))


def table(found: dict[Setting, dict[str, list[Told]]]) -> list[dict]:
    """One row per name and setting."""
    rows = []
    for setting, estimates in found.items():
        for name, told in estimates.items():
            true = truth(name, setting)
            made = summary(told, true)
            rows.append(
                {"name": name, "d": setting.d, "shift": setting.shift, "n": setting.n, "truth": true, **made}
                | {"ratio": made["spread"] / made["stderr"], "known": known(name, setting, len(told))}
                | {"above": float(np.mean([each.value > true for each in told]))}
                | {"reached": float(np.mean([each.low <= true for each in told]))}
                | {"bias": registry.get(name, **setting.fields(name)).bias.name.lower()}
            )
    return rows


def show(rows: list[dict]) -> None:
    """Print the table."""
    counts = f"{'sd/stderr':>9} {'known':>6} {'covered':>8} {'reached':>8} {'above':>6} {'unsolved':>8} {'s':>6}"
    print(f"{'name':<18} {'d':>3} {'δ':>4} {'truth':>9} {'mean':>9} {'sd':>8} {counts}  bias")
    order = list(NAMES)
    for r in sorted(rows, key=lambda r: (order.index(r["name"]) if r["name"] in order else 99, r["d"], r["shift"])):
        line = f"{r['name']:<18} {r['d']:>3} {r['shift']:>4g} {r['truth']:>9.4f} {r['mean']:>9.4f} {r['spread']:>8.4f}"
        counts = f"{r['ratio']:>9.2f} {r['known']:>6.2f} {r['coverage']:>8.2f} {r['reached']:>8.2f} {r['above']:>6.2f}"
        print(f"{line} {counts} {r['unsolved']:>8} {r['seconds']:>6.2f}  {r['bias']}")


def draw(rows: list[dict], path: Path) -> None:
    """Spread over mean stderr and coverage of every name, a mark per setting."""
    from divkit.reproduce.drawing import COLOURS, INK, RULE, panels

    names = [name for name in NAMES if any(r["name"] == name for r in rows)]
    dims = sorted({r["d"] for r in rows})
    figure, axes = panels(1, 2, 4.2, 0.7 + 0.24 * len(names))
    parts = (
        ("ratio", (0.8, 1.25), "sd of estimates / mean stderr"),
        ("coverage", (0.9, 1.0), "95 % intervals that hold the truth"),
    )
    for ax, (key, good, title) in zip(axes[0], parts):
        ax.axvspan(*good, color=RULE, alpha=0.35, linewidth=0)
        ax.axvline(1.0 if key == "ratio" else 0.95, color=INK, linewidth=0.8)
        for k, d in enumerate(dims):
            chosen = [r for r in rows if r["d"] == d]
            y = [names.index(r["name"]) + 0.24 * (k - (len(dims) - 1) / 2) for r in chosen]
            ax.plot([r[key] for r in chosen], y, "o", color=COLOURS[k], markersize=3.8, alpha=0.8, label=f"d = {d}")
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_yticks(range(len(names)), names if ax is axes[0, 0] else [])
        ax.grid(axis="y", color=RULE, linewidth=0.3)
        ax.set_title(title)
    axes[0, 0].set_xlim(0.0, 2.0)
    axes[0, 1].set_xlim(-0.02, 1.02)
    axes[0, 1].legend(loc="upper left", frameon=True, facecolor="white", edgecolor="none")
    figure.savefig(path, dpi=150)


def main() -> None:
    """Run, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--dims", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--shifts", type=float, nargs="+", default=[0.5, 1.0, 2.0])
    parser.add_argument("--names", nargs="+", default=list(NAMES))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = table(measured(options))
    show(rows)
    draw(rows, options.out / "calibration.png")


if __name__ == "__main__":
    main()
