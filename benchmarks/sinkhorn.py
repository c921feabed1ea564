"""The Sinkhorn divergence against GeomLoss, POT and OTT: time to accuracy, peak memory, growth.

    python benchmarks/sinkhorn.py --out benchmarks/results                # all of it, some ten minutes on two cores
    python benchmarks/sinkhorn.py --only judged --out benchmarks/results  # the two tasks of the requirement
    python benchmarks/sinkhorn.py --draw --out benchmarks/results         # the picture, from figures taken before

Data are float32: x uniform in the unit cube, y the same scaled by .9 and moved by .15. Every contestant returns the value and
its gradient in x. Errors are relative to divkit's solution in float64 at tol = 1e-7, which is POT's (a test says so).
GeomLoss's cost is ½|x − y|², so that blur b is ε = 2b² here and its value is half. KeOps (online, multiscale) and OTT take
part where they are installed, in an environment of their own.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import geomloss
import ot
import torch
from harness import environment, exponent, keep, peak
from torch import Tensor

import divkit as dk

Loss = Callable[[Tensor, Tensor], Tensor]
JUDGED = ((5000, 3, 0.05), (2000, 10, 0.3))
GROWTH = ((500, 3, 0.05), (1000, 3, 0.05), (2000, 3, 0.05), (5000, 3, 0.05), (10_000, 3, 0.05), (20_000, 3, 0.05))
LARGE = ((100_000, 3, 0.05),)
WARM, LONG = 1000, 20_000  # points of the first run, which compiles, where all of them take minutes
SHARP = tuple((n, d) for n in (1000, 5000) for d in (2, 3, 10))
KEOPS, OTT = (importlib.util.find_spec(name) is not None for name in ("pykeops", "ott"))

MEMORY = """
import sys, torch
torch.set_num_threads(2)
who, n, d, blur = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
import divkit as dk, geomloss
g = torch.Generator().manual_seed(0)
x, y = torch.rand(n, d, generator=g).requires_grad_(), 0.9 * torch.rand(n, d, generator=g) + 0.15
theirs = geomloss.SamplesLoss("sinkhorn", p=2, blur=blur, backend="tensorized" if who == "divkit" else who)
loss = dk.get("sinkhorn", epsilon=2 * blur**2).loss if who == "divkit" else theirs
loss(x[:50], y[:50]).backward()
print("READY", flush=True); input()
loss(x, y).backward()
"""


def data(n: int, d: int) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.rand(n, d, generator=g), 0.9 * torch.rand(n, d, generator=g) + 0.15


def geom(backend: str, blur: float, scaling: float) -> Loss:
    loss = geomloss.SamplesLoss("sinkhorn", p=2, blur=blur, scaling=scaling, backend=backend)
    return lambda x, y: 2 * loss(x, y)


def pot(epsilon: float) -> Loss:
    def value(x: Tensor, y: Tensor) -> Tensor:
        x, y = x.double(), y.double()

        def term(p: Tensor, q: Tensor) -> Tensor:
            cost = ot.dist(p, q)
            return ot.solve(cost, reg=epsilon, reg_type="KL", max_iter=10_000, tol=1e-4, grad="envelope").value

        return term(x, y) - term(x, x) / 2 - term(y, y) / 2

    return value


def ott(epsilon: float) -> Callable[[Tensor, Tensor], tuple[float, Tensor]]:
    import jax
    from ott.geometry import pointcloud
    from ott.tools import sinkhorn_divergence

    def value(x, y):  # type: ignore[no-untyped-def]
        return sinkhorn_divergence.sinkhorn_divergence(
            pointcloud.PointCloud, x, y, epsilon=epsilon, solve_kwargs={"threshold": 1e-3, "max_iterations": 10_000}
        )[0]

    both = jax.jit(jax.value_and_grad(value))

    def run(x: Tensor, y: Tensor) -> tuple[float, Tensor]:
        found, slope = both(x.numpy(), y.numpy())
        return float(found), torch.from_numpy(__import__("numpy").array(slope))

    return run


def run(loss: Loss, x: Tensor, y: Tensor) -> tuple[float, Tensor]:
    x = x.clone().requires_grad_()
    value = loss(x, y)
    (slope,) = torch.autograd.grad(value, x)
    return float(value.detach()), slope


def contestants(
    n: int, d: int, blur: float, scalings: tuple[float, ...]
) -> dict[str, tuple[str, Callable[..., tuple[float, Tensor]]]]:
    epsilon = 2 * blur**2
    made: dict[str, tuple[str, Callable[..., tuple[float, Tensor]]]] = {}
    ours = dk.get("sinkhorn", epsilon=epsilon).loss
    made["divkit"] = f'dk.get("sinkhorn", epsilon={epsilon:g}).loss(x, y), float32', lambda x, y: run(ours, x, y)
    backends = [
        *(["tensorized"] if n <= 5000 else []),
        *(["online"] if KEOPS and n <= 20_000 else []),
        *(["multiscale"] if KEOPS and d <= 3 else []),
    ]
    for backend in backends:
        for scaling in scalings:
            loss = geom(backend, blur, scaling)
            call = f'SamplesLoss("sinkhorn", p=2, blur={blur}, scaling={scaling}, backend="{backend}")(x, y), float32'
            made[f"GeomLoss {backend} {scaling}"] = call, lambda x, y, loss=loss: run(loss, x, y)
    if n <= 1000:
        call = 'ot.solve(ot.dist(x, y), reg=ε, reg_type="KL", tol=1e-4), debiased by hand, float64'
        made["POT"] = call, lambda x, y: run(pot(epsilon), x, y)
    if OTT and n <= 5000:
        made["OTT"] = "sinkhorn_divergence(PointCloud, x, y, threshold=1e-3), jitted, float32", ott(epsilon)
    return made


def race(
    n: int, d: int, blur: float, scalings: tuple[float, ...], repeats: int, against: tuple[str, ...], *, solved: bool = True
) -> list[dict[str, object]]:
    x, y = data(n, d)
    truth = run(dk.get("sinkhorn", epsilon=2 * blur**2, tol=1e-7).loss, x.double(), y.double()) if solved else None
    racers = {k: v for k, v in contestants(n, d, blur, scalings).items() if k.startswith(("divkit", *against))}
    times: dict[str, list[float]] = {name: [] for name in racers}
    rows = []
    for repeat in range(repeats + 1):  # the first warms up: KeOps and jax compile
        few = WARM if repeat == 0 and n > LONG else n
        for name, (_, call) in racers.items():
            start = time.perf_counter()
            found = call(x[:few], y[:few])
            times[name].append(time.perf_counter() - start)
            if repeat == repeats:
                row = {"name": name, "call": racers[name][0], "n": n, "d": d, "blur": blur, "value": found[0]}
                if truth is not None:
                    row["value_error"] = abs(found[0] / truth[0] - 1)
                    row["gradient_error"] = float((found[1].double() - truth[1]).norm() / truth[1].norm())
                rows.append(row)
    for row in rows:
        row["seconds"] = sorted(times[str(row["name"])][1:])[repeats // 2]
        row["ratio"] = row["seconds"] / sorted(times["divkit"][1:])[repeats // 2]
        show(row)
    return rows


def show(row: dict[str, object]) -> None:
    errors = "".join(f"  {key.replace('_', ' ')} {row[key]:.1e}" for key in ("value_error", "gradient_error") if key in row)
    print(
        f"n {row['n']:>7} d {row['d']:>3}  {row['name']:<28}{row['seconds']:>9.3f} s  × {row['ratio']:<8.2f}{errors}",
        flush=True,
    )


def sharp(n: int, d: int) -> dict[str, object]:
    """ε of a thousandth of the mean cost: solved, and by how many passes over all pairs."""
    x, y = data(n, d)
    start = time.perf_counter()
    e = dk.get("sinkhorn", epsilon=dk.transport.Relative(1e-3)).estimate(x, y)
    seconds = time.perf_counter() - start
    print(
        f"ε = 1e-3 of the mean cost, n {n:>6} d {d:>3}  {seconds:>8.2f} s  passes {e.solution.steps}  converged {e.converged}"
    )
    return {"n": n, "d": d, "seconds": seconds, "passes": e.solution.steps, "converged": e.converged, "error": e.solution.error}


def growth(rows: list[dict[str, object]]) -> None:
    for name in dict.fromkeys(str(r["name"]) for r in rows):
        some = [r for r in rows if r["name"] == name]
        if len(some) > 2:
            sizes, seconds = [int(str(r["n"])) for r in some], [float(str(r["seconds"])) for r in some]
            print(f"{name:<28} time grows as n^{exponent(sizes, seconds):.2f}")


def draw(rows: list[dict[str, object]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.4), layout="constrained")
    for name in dict.fromkeys(str(r["name"]) for r in rows):
        some = [r for r in rows if r["name"] == name]
        wide = 2.4 if name == "divkit" else 1.2
        left.loglog([r["n"] for r in some], [r["seconds"] for r in some], "o-", label=name, linewidth=wide, markersize=4)
        known = [r for r in some if "gradient_error" in r]
        right.loglog([r["n"] for r in known], [r["gradient_error"] for r in known], "o-", linewidth=wide, markersize=4)
    left.set(xlabel="samples on each side", ylabel="seconds, two cores", title="value and gradient, d = 3, blur .05")
    right.set(xlabel="samples on each side", ylabel="relative error of the gradient", title="against the solved problem")
    for ax in (left, right):
        ax.grid(alpha=0.3)
    left.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("judged", "growth", "scalings", "large", "sharp", "memory"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--against", nargs="*", default=["GeomLoss", "POT", "OTT"], help="rivals whose name starts so")
    parser.add_argument("--smallest", type=int, default=0)
    parser.add_argument("--largest", type=int, default=20_000)
    parser.add_argument("--draw", action="store_true", help="draw the picture from saved figures and stop")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.draw:
        draw(json.loads((options.out / "sinkhorn-growth.json").read_text())["rows"], options.out / "sinkhorn.png")
        return
    torch.set_num_threads(2)
    print(environment(), "KeOps" if KEOPS else "no KeOps", "OTT" if OTT else "no OTT")
    sizes = [size for size in GROWTH if options.smallest <= size[0] <= options.largest]
    against = tuple(options.against)
    tasks: dict[str, Callable[[], Iterator[list[dict[str, object]]]]] = {
        "judged": lambda: (race(*size, (0.5,), options.repeats, against) for size in JUDGED),
        "growth": lambda: (race(*size, (0.5,), 1, against) for size in sizes),
        "scalings": lambda: iter([race(2000, 3, 0.05, (0.5, 0.9, 0.99), 1, against)]),
        "large": lambda: (race(*size, (0.5,), 1, against, solved=False) for size in LARGE),
        "sharp": lambda: ([sharp(*size)] for size in SHARP),
    }
    for part, task in tasks.items():
        if options.only in (None, part):
            path = options.out / f"sinkhorn-{part}.json"
            for rows in task():  # a run that is cut off has said and kept what it measured
                keep(rows, path)
            if part == "growth":
                growth(json.loads(path.read_text(encoding="utf-8"))["rows"])
    if options.only in (None, "memory"):
        for who in ("divkit", "tensorized"):
            print(f"peak memory beyond imports and data, n = 5000, d = 3: {who} {peak(MEMORY, who, '5000', '3', '.05'):.0f} MB")
        print(f"n = 20 000, d = 3: divkit {peak(MEMORY, 'divkit', '20000', '3', '.05'):.0f} MB", flush=True)


if __name__ == "__main__":
    main()
