"""Exact, one-dimensional and sliced transport against POT, scipy and lapx: time, peak memory, growth.

    python benchmarks/transport.py --out benchmarks/results          # all of it, some ten minutes on two cores
    python benchmarks/transport.py --only exact --sizes 2000 --dimensions 10 --out benchmarks/results   # piece by piece
    python benchmarks/transport.py --draw --out benchmarks/results   # the picture, from figures taken before

Data are float64: x standard normal, y normal of scale 1.2 and mean .7 along the first axis. Every contestant of a task gets
the same arrays, and rivals' times hold their cost matrix, which they need. divkit's hold the value, the standard error, the
plan, the duals and the certificate.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import ot
import scipy.stats
import torch
from harness import Contestant, Measured, duel, environment, exponent, keep, peak, table
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

import divkit as dk

SIZES = (500, 1000, 2000, 4000)
ASSIGNED = 2000  # up to which POT lazy, scipy and lapx take part: at 4 000 each takes minutes in some dimension
LARGE = ((20_000, 2), (20_000, 10))  # divkit alone: the cost matrix is of 3.2 GB, and takes the others minutes
DIMENSIONS = (2, 10, 64)
SLICED = ((20_000, 32), (100_000, 32))

MEMORY = """
import sys, numpy as np, torch, divkit as dk, ot
torch.set_num_threads(2)
who, n, d = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
g = np.random.default_rng(0)
x, y = g.standard_normal((n, d)), 1.2 * g.standard_normal((n, d))
y[:, 0] += 0.7
dk.estimate("w2", x[:50], y[:50]), ot.emd2([], [], ot.dist(x[:50], y[:50]))
print("READY", flush=True); input()
a = np.full(n, 1 / n)
print(dk.estimate("w2", x, y).value if who == "divkit" else ot.emd2(a, a, ot.dist(x, y), numItermax=10_000_000))
"""


def data(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    g = np.random.default_rng(0)
    x, y = g.standard_normal((n, d)), 1.2 * g.standard_normal((n, d))
    y[:, 0] += 0.7
    return x, y


def certified(x: np.ndarray, y: np.ndarray) -> float:
    e = dk.estimate("w2", x, y)
    assert e.solution.error <= 1e-6, e.solution
    return e.value


def assignment(x: np.ndarray, y: np.ndarray) -> float:
    cost = cdist(x, y, "sqeuclidean")
    return float(cost[linear_sum_assignment(cost)].mean())


def lapx(x: np.ndarray, y: np.ndarray) -> float:
    import lap

    return float(lap.lapjvr(cdist(x, y, "sqeuclidean"))[0]) / len(x)


def exact(n: int, d: int, repeats: int) -> list[Measured]:
    x, y = data(n, d)
    a = np.full(n, 1 / n)
    contestants = [
        Contestant("divkit", 'dk.estimate("w2", x, y)', lambda: certified(x, y)),
        Contestant(
            "POT emd2",
            "ot.emd2(a, b, ot.dist(x, y), numItermax=10_000_000)",
            lambda: float(ot.emd2(a, a, ot.dist(x, y), numItermax=10_000_000)),
        ),
        Contestant("POT lazy", "ot.solve_sample(x, y, lazy=True)", lambda: float(ot.solve_sample(x, y, lazy=True).value)),
        Contestant("scipy assignment", 'linear_sum_assignment(cdist(x, y, "sqeuclidean"))', lambda: assignment(x, y)),
        Contestant("lapx lapjvr", 'lap.lapjvr(cdist(x, y, "sqeuclidean"))', lambda: lapx(x, y)),
    ][: None if n <= ASSIGNED else 2]
    found = duel("exact w2", contestants, n=n, d=d, repeats=repeats)
    worst = max(abs(f.value / found[0].value - 1) for f in found)
    assert worst <= 1e-7, f"the values differ by {worst:.2g}"
    return found


def alone(n: int, d: int) -> list[Measured]:
    x, y = data(n, d)
    found = duel(
        "exact w2", [Contestant("divkit", 'dk.estimate("w2", x, y)', lambda: certified(x, y))], n=n, d=d, repeats=1, warm=0
    )
    return [replace(f, peak_mb=peak(MEMORY, "divkit", str(n), str(d))) for f in found]


def memory(n: int, d: int) -> list[tuple[str, float]]:
    return [(who, peak(MEMORY, who, str(n), str(d))) for who in ("divkit", "POT")]


def line(n: int = 1_000_000, repeats: int = 9) -> list[Measured]:
    g = np.random.default_rng(0)
    x, y = g.standard_normal(n), g.standard_normal(n) + 0.3
    contestants = [
        Contestant("divkit", 'dk.estimate("w1", x, y), value and stderr', lambda: dk.estimate("w1", x, y).value),
        Contestant("scipy", "wasserstein_distance(x, y), value", lambda: float(scipy.stats.wasserstein_distance(x, y))),
        Contestant(
            "POT emd2_1d", 'ot.emd2_1d(x, y, metric="euclidean"), value', lambda: float(ot.emd2_1d(x, y, metric="euclidean"))
        ),
    ]
    return duel("w1 in one dimension", contestants, n=n, d=1, repeats=repeats)


def sliced(n: int, d: int, repeats: int) -> list[Measured]:
    x, y = data(n, d)
    single = torch.from_numpy(x).float(), torch.from_numpy(y).float()
    call = "ot.sliced_wasserstein_distance(x, y, n_projections=100, seed=0)"
    contestants = [
        Contestant("divkit", 'dk.estimate("sliced-w2", x, y), float64', lambda: dk.estimate("sliced-w2", x, y).value),
        Contestant(
            "POT", f"{call}, numpy float64", lambda: float(ot.sliced_wasserstein_distance(x, y, n_projections=100, seed=0)) ** 2
        ),
        Contestant(
            "divkit float32", 'dk.estimate("sliced-w2", x, y), float32', lambda: dk.estimate("sliced-w2", *single).value
        ),
        Contestant(
            "POT float32",
            f"{call}, torch float32",
            lambda: float(ot.sliced_wasserstein_distance(*single, n_projections=100, seed=0)) ** 2,
        ),
    ]
    return duel("sliced w2", contestants, n=n, d=d, repeats=repeats)


def growth(rows: list[Measured]) -> str:
    lines = []
    for name in dict.fromkeys(r.name for r in rows):
        for d in DIMENSIONS:
            some = [r for r in rows if r.name == name and r.d == d and r.task == "exact w2"]
            if len(some) > 1:
                lines.append(
                    f"{name:<26} d = {d:<4} time grows as n^{exponent([r.n for r in some], [r.seconds for r in some]):.2f}"
                )
    return "\n".join(lines)


def draw(rows: list[dict[str, object]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), sharey=True, layout="constrained")
    for ax, d in zip(axes, DIMENSIONS):
        for name in dict.fromkeys(str(r["name"]) for r in rows if r["task"] == "exact w2"):
            some = sorted(
                (int(r["n"]), float(r["processor"])) for r in rows if (r["task"], r["name"], r["d"]) == ("exact w2", name, d)
            )
            ax.loglog(*zip(*some), "o-", label=name, linewidth=2.4 if name == "divkit" else 1.2, markersize=4)
        ax.set(title=f"d = {d}", xlabel="samples on each side")
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("processor seconds, all threads")
    axes[0].legend(frameon=False)
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("exact", "large", "memory", "line", "sliced"))
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--dimensions", type=int, nargs="*", default=DIMENSIONS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--draw", action="store_true", help="draw the picture from saved figures and stop")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.draw:
        found = [
            row
            for path in sorted(options.out.glob("transport-*.json"))
            for row in json.loads(path.read_text(encoding="utf-8"))["rows"]
        ]
        draw(found, options.out / "transport.png")
        return
    torch.set_num_threads(options.threads)
    print(environment())
    tasks: dict[str, Callable[[], Iterator[list[Measured]]]] = {
        "exact": lambda: (exact(n, d, options.repeats) for d in options.dimensions for n in options.sizes),
        "large": lambda: (alone(n, d) for n, d in LARGE if d in options.dimensions),
        "line": lambda: iter([line()]),
        "sliced": lambda: (sliced(n, d, 1 if n > 20_000 else 5) for n, d in SLICED),
    }
    for part, run in tasks.items():
        if options.only in (None, part):
            path = options.out / f"transport-{part}.json"
            for rows in run():  # a run that is cut off has said and kept what it measured
                keep([asdict(row) for row in rows], path)
                print(table(rows, "divkit"), flush=True)
            print(growth([Measured(**row) for row in json.loads(path.read_text(encoding="utf-8"))["rows"]]), flush=True)
    if options.only in (None, "memory"):
        for d in DIMENSIONS:
            print(f"peak memory beyond imports and data, n = 4000, d = {d}:", memory(4000, d), flush=True)


if __name__ == "__main__":
    main()
