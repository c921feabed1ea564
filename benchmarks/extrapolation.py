"""How much of the plug-in's bias `Extrapolated(Wasserstein(2))` takes, and what its intervals cover of the truth.

    python benchmarks/extrapolation.py --runs 200

x is normal with mean `shift` along the first axis and scale 1.3, y standard normal; the truth is the closed form.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch.distributions import MultivariateNormal

import divkit as dk
from divkit.transport import Extrapolated, Wasserstein


def study(n: int, d: int, shift: float, scale: float, runs: int) -> str:
    mean = torch.zeros(d, dtype=torch.float64)
    mean[0] = shift
    eye = torch.eye(d, dtype=torch.float64)
    truth = dk.exact("w2", MultivariateNormal(mean, scale**2 * eye), MultivariateNormal(0 * mean, eye))
    g, found = np.random.default_rng(0), []
    for _ in range(runs):
        x, y = scale * g.standard_normal((n, d)) + mean.numpy(), g.standard_normal((n, d))
        row = []
        for divergence in (Wasserstein(2), Extrapolated(Wasserstein(2))):
            e = divergence.estimate(x, y)
            low, high = e.ci()
            row.append((e.value, e.stderr, low <= truth <= high))
        found.append(row)
    plain, less = np.array(found, dtype=float).transpose(1, 0, 2)
    parts = [
        f"{name} {part[:, 0].mean():7.3f} (bias {part[:, 0].mean() - truth:+7.3f}, sd {part[:, 0].std():.3f}, "
        f"mean stderr {part[:, 1].mean():.3f}, covers the truth {part[:, 2].mean():.2f})"
        for name, part in (("plug-in", plain), ("extrapolated", less))
    ]
    return f"n = {n}, d = {d}, shift {shift:g}, scale {scale:g}, truth {truth:.3f}: " + "; ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--n", type=int, default=200)
    options = parser.parse_args()
    for d in (1, 2, 5, 10):
        for shift, scale in ((0.0, 1.0), (1.0, 1.3)):
            print(study(options.n, d, shift, scale, options.runs), flush=True)


if __name__ == "__main__":
    main()
