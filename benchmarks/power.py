"""Level and power at 5 % of two-sample tests, side by side on the same draws.

Run ``python benchmarks/power.py [PROBLEM…] [--repeats N] [--rivals] [--picture FILE]``. Each row is a problem at a strength
(0 is P = Q, where the share of rejections is the level), each column a test; two standard errors of 200 repeats are at most
.07.
``fuse`` and ``agg`` (kerneltests), ``pted`` and ``dcor`` take part where they are installed and ``--rivals`` is given.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from problems import PROBLEMS, Problem

import divkit as dk

LEVEL = 0.05
Test = Callable[[np.ndarray, np.ndarray, int], bool]


def own(name: str, permutations: int) -> Test:
    """A test of this library."""

    def rejects(x: np.ndarray, y: np.ndarray, seed: int) -> bool:
        return dk.test(name, x.astype(np.float32), y.astype(np.float32), permutations=permutations, seed=seed).pvalue <= LEVEL

    return rejects


def rivals(permutations: int) -> dict[str, Test]:
    """Those that are installed."""
    found: dict[str, Test] = {}
    try:
        import kt
    except ImportError:
        pass
    else:
        found["fuse"] = lambda x, y, seed: bool(
            kt.two_sample(x, y, "mmdfuse", number_permutations=permutations, seed=seed).reject
        )
        found["agg"] = lambda x, y, seed: bool(
            kt.two_sample(x, y, "mmdagg", B1=permutations, B2=permutations, seed=seed).reject
        )
    try:
        import pted
    except ImportError:
        pass
    else:
        found["pted"] = lambda x, y, seed: float(pted.pted(x, y, permutations=permutations, rng=seed)) <= LEVEL
    try:
        import dcor
    except ImportError:
        pass
    else:
        found["dcor"] = lambda x, y, seed: (
            dcor.homogeneity.energy_test(x, y, num_resamples=permutations, random_state=seed).pvalue <= LEVEL
        )
    return found


def shares(problem: Problem, tests: dict[str, Test], strength: float, seeds: range) -> dict[str, float]:
    """Of rejections."""
    counts = dict.fromkeys(tests, 0)
    for seed in seeds:
        x, y = problem.draw(np.random.default_rng(seed), problem.n, strength)
        for name, rejects in tests.items():
            counts[name] += rejects(x, y, seed)
    return {name: count / len(seeds) for name, count in counts.items()}


def picture(table: dict[str, dict[float, dict[str, float]]], path: Path) -> None:
    """Power over strength, a panel a problem."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.6 * len(table), 2.6), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(table), sharey=True))
    for ax, (name, rows) in zip(axes, table.items()):
        for test in next(iter(rows.values())):
            ax.plot(list(rows), [row[test] for row in rows.values()], marker="o", ms=3, lw=1.2, label=test)
        ax.axhline(LEVEL, color="0.6", lw=0.8, ls=":")
        ax.set(title=PROBLEMS[name].title, xlabel="strength", ylim=(0, 1.02))
        ax.title.set_fontsize(9)
    axes[0].set_ylabel("rejections at 5 %")
    axes[0].legend(fontsize=7, frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problems", nargs="*")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--first", type=int, default=10_000, help="seed: those below 10 000 were used in the making")
    parser.add_argument("--permutations", type=int, default=199)
    parser.add_argument("--strengths", type=float, nargs="*")
    parser.add_argument("--tests", nargs="*", default=["adaptive", "mmd", "energy"])
    parser.add_argument("--rivals", action="store_true")
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    tests = {name: own(name, given.permutations) for name in given.tests}
    tests |= rivals(given.permutations) if given.rivals else {}
    print(f"{'problem':14s} {'strength':>8s} " + " ".join(f"{name:>9s}" for name in tests))
    table: dict[str, dict[float, dict[str, float]]] = {}
    for name in given.problems or PROBLEMS:
        for strength in given.strengths or PROBLEMS[name].strengths:
            found = shares(PROBLEMS[name], tests, strength, range(given.first, given.first + given.repeats))
            table.setdefault(name, {})[strength] = found
            print(f"{name:14s} {strength:8.2f} " + " ".join(f"{share:9.3f}" for share in found.values()), flush=True)
    if given.picture:
        picture(table, given.picture)


if __name__ == "__main__":
    main()
