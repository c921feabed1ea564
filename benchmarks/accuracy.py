"""Error and CPU time of f-divergence estimators beside their rivals, where the truth is known.

    python benchmarks/accuracy.py [--runs 5] [--sizes 2000 10000] [--dims 1 5 20] [--shifts .5 1 2] [--only NAME …] [--out DIR]

P = N(δe₁, I), Q = N(0, I) in d dimensions: every estimator sees the same samples, in turn. A row says by how much an
estimate is off on average and in root mean square, as shares of the truth, how many estimates were above the truth, and the
median CPU seconds. Rivals that are not installed are left out; a result that is there already is not computed again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch
from ratio_rivals import NAMES, RIVALS
from torch.distributions import MultivariateNormal

import divkit as dk

SLOW = {"iwpc": 2, "divergence KDE": 3}  # runs at most, n = 2 000 only


def truth(name: str, d: int, shift: float) -> float:
    """The exact value."""
    mean, unit = torch.zeros(d, dtype=torch.float64), torch.eye(d, dtype=torch.float64)
    moved = mean.clone()
    moved[0] = shift
    return dk.exact(name, MultivariateNormal(moved, unit), MultivariateNormal(mean, unit))


def samples(n: int, d: int, shift: float, run: int) -> tuple[np.ndarray, np.ndarray]:
    """n points of each law."""
    x, y = np.random.default_rng(1000 + run).standard_normal((2, n, d))
    x[:, 0] += shift
    return x, y


def measured(options: argparse.Namespace) -> Iterator[dict]:
    """One record per estimator, setting and run, kept in a file."""
    path = options.out / "accuracy.jsonl"
    seen = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(r["rival"], r["n"], r["d"], r["shift"], r["run"]): r for r in seen}
    missing: set[str] = set()
    for d, shift, n, run in product(options.dims, options.shifts, options.sizes, range(options.runs)):
        x, y = samples(n, d, shift, run)
        for rival in options.only or RIVALS:
            if rival in SLOW and (n > 2000 or run >= SLOW[rival]):
                continue
            key = (rival, n, d, shift, run)
            if key not in done and rival not in missing:
                started = time.process_time()
                try:
                    values = RIVALS[rival](x, y)
                except Exception as error:  # not installed, or at odds with another package
                    if rival.startswith("divkit"):
                        raise
                    missing.add(rival)
                    print(f"{rival} is left out: {type(error).__name__}: {str(error).splitlines()[0]}")
                    continue
                seconds = time.process_time() - started
                done[key] = dict(zip(("rival", "n", "d", "shift", "run"), key)) | {"values": values, "seconds": seconds}
                with path.open("a") as file:
                    file.write(json.dumps(done[key]) + "\n")
            if key in done:
                yield done[key]


def table(records: list[dict]) -> list[dict]:
    """Bias, root mean square error and share above the truth, of every estimator and divergence in every setting."""
    rows = []
    settings = sorted({(r["d"], r["shift"], r["n"]) for r in records})
    for (d, shift, n), rival in product(settings, RIVALS):
        chosen = [r for r in records if (r["rival"], r["d"], r["shift"], r["n"]) == (rival, d, shift, n)]
        for name in NAMES:
            values = np.array([r["values"][name] for r in chosen if name in r["values"]])
            if len(values):
                true = truth(name, d, shift)
                off = (values - true) / true
                rows.append(
                    {"d": d, "shift": shift, "n": n, "divergence": name, "rival": rival, "truth": true, "runs": len(values)}
                    | {"bias": off.mean(), "rmse": float(np.sqrt((off**2).mean())), "above": float((off > 0).mean())}
                    | {"seconds": float(np.median([r["seconds"] for r in chosen]))}
                )
    return rows


def show(rows: list[dict]) -> None:
    """Print the table."""
    titles = f"{'d':>3} {'δ':>4} {'n':>6}  {'divergence':<18} {'estimator':<18} {'truth':>8}"
    print(f"{titles} {'bias':>8} {'rmse':>8} {'above':>6} {'s':>7}")
    for r in rows:
        print(
            f"{r['d']:>3} {r['shift']:>4g} {r['n']:>6}  {r['divergence']:<18} {r['rival']:<18} {r['truth']:>8.4f} "
            f"{100 * r['bias']:>7.1f}% {100 * r['rmse']:>7.1f}% {100 * r['above']:>5.0f}% {r['seconds']:>7.2f}"
        )


def draw(rows: list[dict], path: Path) -> None:
    """Root mean square error of KL and JS against the dimension, a column per shift."""
    from divkit.reproduce.drawing import COLOURS, panels

    size = max(r["n"] for r in rows if r["rival"] == "divkit")
    size = 2000 if any(r["n"] == 2000 for r in rows) else size
    shifts = sorted({r["shift"] for r in rows})
    figure, axes = panels(2, len(shifts), 3.1, 2.4)
    for line, name in zip(axes, ("kl", "js")):
        for ax, shift in zip(line, shifts):
            for colour, rival in zip((*COLOURS, "#000000"), RIVALS):
                here = [r for r in rows if (r["shift"], r["n"], r["divergence"], r["rival"]) == (shift, size, name, rival)]
                width = 2.4 if rival == "divkit" else 1.2
                points = [r["d"] for r in here], [max(100 * r["rmse"], 0.3) for r in here]
                if here:
                    ax.plot(*points, "o-", color=colour, markersize=3.5, linewidth=width, label=rival)
            ax.set_xscale("log")
            ax.set_yscale("log")
            ax.set_xticks([1, 5, 20], ["1", "5", "20"])
            ax.set_yticks([1, 10, 100], ["1", "10", "100"])
            ax.set_ylim(0.25, 250)
            ax.minorticks_off()
            if name == "kl":
                ax.set_title(f"shift δ = {shift:g}, n = {size:,}")
            else:
                ax.set_xlabel("dimension")
        line[0].set_ylabel(f"error of {name}, % (rms)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2000, 10_000])
    parser.add_argument("--dims", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--shifts", type=float, nargs="+", default=[0.5, 1.0, 2.0])
    parser.add_argument("--only", nargs="+", choices=RIVALS)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = table(list(measured(options)))
    show(rows)
    draw(rows, options.out / "accuracy.png")


if __name__ == "__main__":
    main()
