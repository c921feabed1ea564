"""Level and power at 5 % of two-sample tests, side by side on the same draws.

Run ``python benchmarks/power.py [PROBLEM…] [--repeats N] [--rivals NAME…] [--out FILE] [--picture FILE]``. Each row is a
problem at a strength (0 is P = Q, where the share of rejections is the level), each column a test; two standard errors of 200
repeats are at most .07. Rivals: ``fuse`` and ``agg`` (kerneltests), ``pted``, ``dcor``, ``hyppo``, where they are installed.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from problems import PROBLEMS, Problem

import divkit as dk

LEVEL = 0.05
Test = Callable[[np.ndarray, np.ndarray, int], bool]


def own(name: str, permutations: int) -> Test:
    """A test of this library."""

    def rejects(x: np.ndarray, y: np.ndarray, seed: int) -> bool:
        return dk.test(name, x.astype(np.float32), y.astype(np.float32), permutations=permutations, seed=seed).pvalue <= LEVEL

    return rejects


def fuse(permutations: int) -> Test:
    import kt

    return lambda x, y, seed: bool(kt.two_sample(x, y, "mmdfuse", number_permutations=permutations, seed=seed).reject)


def agg(permutations: int) -> Test:
    """At a thousand relabellings at least: it corrects for many kernels by quantiles far out."""
    import kt

    b = max(permutations, 1000)
    return lambda x, y, seed: bool(kt.two_sample(x, y, "mmdagg", B1=b, B2=b, seed=seed).reject)


def pted(permutations: int) -> Test:
    from pted import pted

    return lambda x, y, seed: float(pted(x, y, permutations=permutations, rng=seed)) <= LEVEL


def dcor(permutations: int) -> Test:
    from dcor.homogeneity import energy_test

    return lambda x, y, seed: energy_test(x, y, num_resamples=permutations, random_state=seed).pvalue <= LEVEL


def hyppo(permutations: int) -> Test:
    """Its MMD of a Gaussian kernel at the median bandwidth."""
    from hyppo.ksample import MMD

    def rejects(x: np.ndarray, y: np.ndarray, seed: int) -> bool:
        return MMD().test(x, y, reps=permutations, workers=1, auto=False, random_state=seed).pvalue <= LEVEL

    return rejects


RIVALS = {made.__name__: made for made in (fuse, agg, pted, dcor, hyppo)}


def share(problem: Problem, rejects: Test, strength: float, seeds: range) -> float:
    """Of rejections: every test sees the same draws."""
    return float(np.mean([rejects(*problem.draw(np.random.default_rng(seed), problem.n, strength), seed) for seed in seeds]))


class Kept:
    """Shares by run, in a JSON file where one is given: a run that is cut off has kept what it measured."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.shares: dict[str, float] = json.loads(path.read_text(encoding="utf-8")) if path and path.exists() else {}

    def get(self, run: str, measure: Callable[[], float]) -> float:
        if run not in self.shares:
            self.shares[run] = measure()
            if self.path:
                self.path.write_text(json.dumps(self.shares, indent=1), encoding="utf-8")
        return self.shares[run]


def picture(table: dict[str, dict[float, dict[str, float]]], path: Path) -> None:
    """Power over strength, a panel a problem."""
    from matplotlib.figure import Figure

    across = min(len(table), 4)
    down = -(-len(table) // across)
    figure = Figure(figsize=(2.5 * across, 2.4 * down), layout="constrained")
    axes = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
    for ax in axes[len(table) :]:
        ax.remove()
    for ax, (name, rows) in zip(axes, table.items()):
        for test in next(iter(rows.values())):
            ax.plot(list(rows), [row[test] for row in rows.values()], marker="o", ms=3, lw=1.2, label=test)
        ax.axhline(LEVEL, color="0.6", lw=0.8, ls=":")
        ax.set(title=PROBLEMS[name].title, xlabel="strength", ylim=(0, 1.02))
        ax.title.set_fontsize(9)
    figure.supylabel("rejections at 5 %", fontsize=9)
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
    parser.add_argument("--rivals", nargs="*", choices=list(RIVALS), default=[])
    parser.add_argument("--out", type=Path, help="a JSON file that keeps the table: rows already in it are not run again")
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    tests = {name: own(name, given.permutations) for name in given.tests}
    tests |= {name: RIVALS[name](given.permutations) for name in given.rivals}
    torch.set_num_threads(1)  # after the imports: numba raises the number of OpenMP threads, which torch shares
    seeds, kept = range(given.first, given.first + given.repeats), Kept(given.out)
    print(f"{given.repeats} repeats from seed {given.first}, {given.permutations} relabellings")
    print(f"{'problem':14s} {'strength':>8s} " + " ".join(f"{name:>9s}" for name in tests))
    table: dict[str, dict[float, dict[str, float]]] = {}
    for name in given.problems or PROBLEMS:
        problem = PROBLEMS[name]
        for strength in given.strengths or problem.strengths:
            found = table.setdefault(name, {}).setdefault(strength, {})
            print(f"{name:14s} {strength:8.2f} ", end="", flush=True)
            for test, rejects in tests.items():
                run = f"{name} {strength} {test} n={problem.n} B={given.permutations} seeds={seeds.start}-{seeds.stop - 1}"
                found[test] = kept.get(run, partial(share, problem, rejects, strength, seeds))
                print(f"{found[test]:9.3f}", end=" ", flush=True)
            print()
    if given.picture:
        picture(table, given.picture)


if __name__ == "__main__":
    main()
