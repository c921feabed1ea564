"""Kernel distances against GeomLoss (tensorized, and online by KeOps), dcor and scipy: time, peak memory, growth.

    python benchmarks/kernels.py --out benchmarks/results            # all of it, some ten minutes on two cores
    python benchmarks/kernels.py --only energy --sizes 10000 --out benchmarks/results
    python benchmarks/kernels.py --draw --out benchmarks/results     # the picture, from figures taken before

Gradients are of value and both samples' points, float32, x standard normal and y the same shifted by .3 in every dimension,
V-statistics, bandwidth 1.5. "online" takes part where pykeops is installed, with a compiler.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import geomloss
import numpy as np
import scipy.stats
import torch
from harness import Contestant, Measured, duel, environment, exponent, peak, save, table

import divkit as dk
from divkit.kernel import MMD, BlockMMD, Energy, FourierMMD
from divkit.kernel.kernels import Gaussian

SIZES = (1000, 2000, 5000, 10_000)
LARGE = 20_000  # divkit and online
BACKENDS = ("tensorized", "online") if importlib.util.find_spec("pykeops") else ("tensorized",)
BANDWIDTH = 1.5

MEMORY = """
import sys, torch, geomloss
from divkit.kernel import MMD, Energy
from divkit.kernel.kernels import Gaussian
torch.set_num_threads(2)
who, what, n, d = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
ours = {"mmd": MMD(Gaussian(1.5), unbiased=False).loss, "energy": Energy(unbiased=False).loss}[what]
theirs = {"mmd": "gaussian", "energy": "energy"}[what]
loss = ours if who == "divkit" else geomloss.SamplesLoss(theirs, blur=1.5, backend=who)
x, y = torch.randn(n, d).requires_grad_(), (torch.randn(n, d) + 0.3).requires_grad_()
loss(x[:50], y[:50]).backward()
print("READY", flush=True); input()
loss(x, y).backward()
"""


def data(n: int, d: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, d, generator=generator, dtype=dtype) for _ in range(2))
    return x, y + 0.3


def trained(loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> float:
    """Value and gradient in both."""
    px, py = x.clone().requires_grad_(), y.clone().requires_grad_()
    value = loss(px, py)
    value.backward()
    return float(value.detach())


def contestants(what: str, x: torch.Tensor, y: torch.Tensor, backends: Sequence[str]) -> list[Contestant]:
    ours = {"mmd": MMD(Gaussian(BANDWIDTH), unbiased=False), "energy": Energy(unbiased=False)}[what]
    name = {"mmd": "gaussian", "energy": "energy"}[what]
    made = [Contestant("divkit", f"{ours!r}.loss(x, y).backward()", lambda: trained(ours.loss, x, y))]
    for backend in backends:
        rival = geomloss.SamplesLoss(name, blur=BANDWIDTH, backend=backend)
        call = f"SamplesLoss({name!r}, blur={BANDWIDTH}, backend={backend!r})(x, y).backward(): half of divkit's value"
        made.append(Contestant(f"geomloss {backend}", call, lambda rival=rival: 2 * trained(rival, x, y)))
    return made


def gradients(what: str, repeats: int, sizes: Sequence[int], d: int = 10, memory: bool = False) -> list[Measured]:
    rows: list[Measured] = []
    for n in sizes or (*SIZES, LARGE):
        x, y = data(n, d)
        backends = BACKENDS if n < LARGE else BACKENDS[1:]
        few = repeats if n < SIZES[-1] else min(repeats, 3)
        measured = duel(
            f"{what} {'memory' if memory else 'gradient'}", contestants(what, x, y, backends), n=n, d=d, repeats=few
        )
        if memory:
            who = [r.name.removeprefix("geomloss ") for r in measured]
            measured = [replace(r, peak_mb=peak(MEMORY, w, what, str(n), str(d))) for r, w in zip(measured, who)]
        rows += measured
        print(table(measured, "divkit"), flush=True)
    return rows


def lines(repeats: int, sizes: Sequence[int]) -> list[Measured]:
    """One dimension, float64: value, value and gradient, estimate."""
    rows: list[Measured] = []
    energy = Energy(unbiased=False)
    for n in sizes or (10_000, 100_000, 1_000_000):
        x, y = data(n, 1, torch.float64)
        u, v = x[:, 0].numpy(), y[:, 0].numpy()
        rivals = [
            Contestant("divkit", "Energy(unbiased=False).loss(x, y)", lambda x=x, y=y: float(energy.loss(x, y))),
            Contestant("divkit gradient", "….loss(x, y).backward()", lambda x=x, y=y: trained(energy.loss, x, y)),
            Contestant("divkit estimate", "….estimate(x, y)", lambda x=x, y=y: energy.estimate(x, y).value),
            Contestant("scipy", "energy_distance(x, y)", lambda u=u, v=v: float(scipy.stats.energy_distance(u, v) ** 2)),
        ]
        if importlib.util.find_spec("dcor") and n <= 10_000:
            import dcor

            rivals.append(Contestant("dcor", "dcor.energy_distance(x, y)", lambda u=u, v=v: float(dcor.energy_distance(u, v))))
        rows += duel("energy, one dimension", rivals, n=n, d=1, repeats=repeats)
        print(table(rows[-len(rivals) :], "divkit"), flush=True)
    return rows


def linear(repeats: int, sizes: Sequence[int], d: int = 10) -> list[Measured]:
    """Estimates with errors, in time linear in n."""
    rows: list[Measured] = []
    for n in sizes or (10_000, 100_000, 1_000_000):
        x, y = data(n, d)
        own: list[tuple[str, dk.Divergence]] = [
            ("FourierMMD", FourierMMD(Gaussian(BANDWIDTH), 100)),
            ("BlockMMD", BlockMMD(Gaussian(BANDWIDTH), block=1000)),
            ("sliced-energy", dk.get("sliced-energy", projections=20)),
        ]
        made = [Contestant(k, f"{v!r}.estimate(x, y)", lambda v=v, x=x, y=y: v.estimate(x, y).value) for k, v in own]
        rows += duel("linear estimates", made, n=n, d=d, repeats=min(repeats, 2), warm=0 if n > 100_000 else 1)
        print(table(rows[-len(own) :], "FourierMMD"), flush=True)
    return rows


def permuted(repeats: int, sizes: Sequence[int], d: int = 10) -> list[Measured]:
    """999 relabellings of the energy statistic; the adaptive test has twenty kernels."""
    import pted

    rows: list[Measured] = []
    for n in sizes or (250, 500, 1000, 2000):
        x, y = data(n, d)
        y = y - 0.28
        made = [
            Contestant("divkit", 'dk.test("energy", x, y)', lambda x=x, y=y: dk.test("energy", x, y).pvalue),
            Contestant("divkit adaptive", 'dk.test("adaptive", x, y)', lambda x=x, y=y: dk.test("adaptive", x, y).pvalue),
            Contestant("pted", "pted.pted(x, y, permutations=999)", lambda x=x, y=y: float(pted.pted(x, y, permutations=999))),
        ]
        rows += duel("999 permutations", made, n=n, d=d, repeats=repeats)
        print(table(rows[-len(made) :], "divkit"), flush=True)
    return rows


TASKS = {
    "mmd": partial(gradients, "mmd"),
    "energy": partial(gradients, "energy"),
    "mmd-memory": partial(gradients, "mmd", memory=True),
    "energy-memory": partial(gradients, "energy", memory=True),
    "line": lines,
    "linear": linear,
    "test": permuted,
}


def draw(path: Path, picture: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    known = ("mmd gradient", "energy gradient", "energy, one dimension", "999 permutations")
    tasks = [t for t in known if any(r["task"] == t for r in rows)]
    figure, axes = plt.subplots(1, len(tasks), figsize=(4.2 * len(tasks), 3.4), squeeze=False, layout="constrained")
    for axis, task in zip(axes[0], tasks):
        for name in sorted({r["name"] for r in rows if r["task"] == task}):
            mine = sorted((r["n"], r["seconds"]) for r in rows if r["task"] == task and r["name"] == name)
            sizes, seconds = zip(*mine)
            slope = f" (n^{exponent(sizes, seconds):.1f})" if len(sizes) > 2 else ""
            axis.loglog(sizes, seconds, "o-", label=name + slope, markersize=4)
        axis.set(title=task + (", float64" if "dimension" in task else ", d = 10, float32"), xlabel="n = m", ylabel="seconds")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.savefig(picture, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=TASKS)
    parser.add_argument("--sizes", type=int, nargs="*", default=())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--draw", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(2)
    chosen.out.mkdir(parents=True, exist_ok=True)
    path = chosen.out / "kernels.json"
    if not chosen.draw:
        print(environment())
        wanted = [chosen.only] if chosen.only else list(TASKS)
        rows = [row for name in wanted for row in TASKS[name](chosen.repeats, chosen.sizes)]
        if path.exists():
            fresh = {(r.task, r.n, r.name) for r in rows}
            old = [Measured(**r) for r in json.loads(path.read_text(encoding="utf-8"))["rows"]]
            rows = [r for r in old if (r.task, r.n, r.name) not in fresh] + rows
        save(rows, path)
    draw(path, chosen.out / "kernels.png")


if __name__ == "__main__":
    np.set_printoptions(precision=4)
    main()
