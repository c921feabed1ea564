"""What every registered name promises: its independent oracle and the laws it obeys. A new name needs one row here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ot
import torch
from scipy.linalg import sqrtm
from scipy.optimize import minimize
from scipy.special import gamma
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

SYMMETRIC = ("squared-hellinger", "jeffreys", "js", "fgan-js", "gan", "tv", "le-cam")
LEARNED = ("kl", "reverse-kl", "pearson", "neyman", "lin-k", *SYMMETRIC)


@dataclass(frozen=True)
class Traits:
    """The laws of one name, for the default fields but `fields`.

    `oracle(x, y, w, v)` is an independent value of the sample problem (arrays, normalised weights); None for learned ones,
    which are judged against the population by many samples.
    """

    oracle: Callable[..., float] | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-9  # relative, against the oracle
    degree: float | None = None  # D(cx, cy) = c^degree D(x, y)
    translation: bool = True
    symmetric: bool = True
    weights: bool = True
    duplication: bool = False  # twice a row = twice its weight: V-statistics and transport
    zero_at_equal: bool = False
    envelope: bool = True  # the gradient at a fixed solution is that of the solved value

    @property
    def learned(self) -> bool:
        return self.oracle is None


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.linalg.norm(x[:, None] - y[None], axis=-1)


def two_sample(kernel: Callable[[np.ndarray, np.ndarray], np.ndarray], unbiased: bool = True) -> Callable[..., float]:
    """The U- or V-statistic by brute force."""

    def own(k: np.ndarray, w: np.ndarray) -> float:
        total = w @ k @ w
        return (total - (w**2 * np.diag(k)).sum()) / (1 - (w**2).sum()) if unbiased else total

    return lambda x, y, w, v: own(kernel(x, x), w) + own(kernel(y, y), v) - 2 * w @ kernel(x, y) @ v


def gaussian(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.exp(-(distances(x, y) ** 2) / 2 / 1.7**2)


def laplace(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.exp(-distances(x, y) / 1.7)


def fourier(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The average of cos ω·(x − y) over 20 frequencies of a Gaussian of deviation 1/1.7."""
    generator = torch.Generator().manual_seed(0)
    omega = torch.randn(x.shape[1], 20, generator=generator, dtype=torch.float64).numpy() / 1.7
    return np.cos((x[:, None] - y[None]) @ omega).mean(-1)


def multiquadric(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    c = 2 * x.shape[1] * np.array([0.1, 0.2, 0.5, 1, 2, 5, 10])
    return (c / (c + distances(x, y)[..., None] ** 2)).sum(-1)


def cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def transport(p: float) -> Callable[..., float]:
    return lambda x, y, w, v: float(ot.emd2(w, v, distances(x, y) ** p))


def entropic(x: np.ndarray, y: np.ndarray, w: np.ndarray, v: np.ndarray, epsilon: float = 1.0) -> float:
    return float(ot.solve(distances(x, y) ** 2, w, v, reg=epsilon, reg_type="KL", max_iter=20_000, tol=1e-10).value)


def debiased(x: np.ndarray, y: np.ndarray, w: np.ndarray, v: np.ndarray) -> float:
    return entropic(x, y, w, v) - entropic(x, x, w, w) / 2 - entropic(y, y, v, v) / 2


def sliced(p: float) -> Callable[..., float]:
    """Average over the same directions of one-dimensional transport costs by another library."""
    from divkit.lines.directions import directions

    def value(x: np.ndarray, y: np.ndarray, w: np.ndarray, v: np.ndarray) -> float:
        theta = directions(20, x.shape[1], 0, torch.zeros(1, dtype=torch.float64)).numpy()
        costs = [ot.emd2_1d(x @ t, y @ t, w, v, metric="minkowski", p=p) for t in theta]
        return float(np.mean(costs))

    return value


def maximal(x: np.ndarray, y: np.ndarray, w: np.ndarray, v: np.ndarray) -> float:
    """The best of 300 directions of three dimensions, polished without gradients."""

    def minus(angles: np.ndarray) -> float:
        (a, b), t = angles, np.sin(angles[0])
        theta = np.array([t * np.cos(b), t * np.sin(b), np.cos(a)])
        return -float(ot.emd2_1d(x @ theta, y @ theta, w, v, metric="sqeuclidean"))

    grid = [(a, b) for a in np.linspace(0, np.pi / 2, 15) for b in np.linspace(0, 2 * np.pi, 20)]
    best = sorted(grid, key=lambda angles: minus(np.array(angles)))[:5]
    options = {"xatol": 1e-7, "fatol": 1e-12}
    return max(-minimize(minus, start, method="Nelder-Mead", options=options).fun for start in best)


def moments(x: np.ndarray, y: np.ndarray, w: np.ndarray, v: np.ndarray) -> float:
    a, b = (np.cov(s.T, aweights=t, ddof=1) for s, t in ((x, w), (y, v)))
    cross = np.real(sqrtm(a @ b))
    return float(np.sum((w @ x - v @ y) ** 2) + np.trace(a + b - 2 * cross))


def sliced_energy(x: np.ndarray, y: np.ndarray, w: np.ndarray, v: np.ndarray) -> float:
    from divkit.lines.directions import directions

    theta = directions(20, x.shape[1], 0, torch.zeros(1, dtype=torch.float64)).numpy()
    return float(np.mean([two_sample(energy)((x @ t)[:, None], (y @ t)[:, None], w, v) for t in theta]))


def neighbours(x: np.ndarray, y: np.ndarray, w: np.ndarray, v: np.ndarray, k: int = 5) -> float:
    rho = NearestNeighbors(n_neighbors=k + 1).fit(x).kneighbors(x)[0][:, -1]
    nu = NearestNeighbors(n_neighbors=k).fit(y).kneighbors(x)[0][:, -1]
    return float(x.shape[1] * np.mean(np.log(nu / rho)) + np.log(len(y) / (len(x) - 1)))


def renyi_neighbours(x: np.ndarray, y: np.ndarray, w: np.ndarray, v: np.ndarray, k: int = 5, order: float = 0.5) -> float:
    """Póczos and Schneider's estimator of ∫ pᵅ q¹⁻ᵅ, by scikit-learn's neighbours."""
    rho = NearestNeighbors(n_neighbors=k + 1).fit(x).kneighbors(x)[0][:, -1]
    nu = NearestNeighbors(n_neighbors=k).fit(y).kneighbors(x)[0][:, -1]
    ratio = (len(x) - 1) * rho ** x.shape[1] / (len(y) * nu ** x.shape[1])
    unbias = gamma(k) ** 2 / (gamma(k - order + 1) * gamma(k + order - 1))
    return float(np.log(np.mean(ratio ** (1 - order)) * unbias) / (order - 1))


def energy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return -distances(x, y)


def half_energy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return -distances(x, y) / 2


TRAITS: dict[str, Traits] = {
    "energy": Traits(two_sample(energy), degree=1),
    "cramer": Traits(two_sample(half_energy), degree=1),
    "sliced-energy": Traits(sliced_energy, {"projections": 20}, degree=1),
    "mmd": Traits(two_sample(gaussian), {"bandwidth": 1.7}),
    "mmd-laplace": Traits(two_sample(laplace), {"bandwidth": 1.7}),
    "mmd-imq": Traits(two_sample(multiquadric)),
    "kid": Traits(two_sample(cubic), translation=False),
    "mmd-fourier": Traits(two_sample(fourier), {"bandwidth": 1.7, "frequencies": 20}),
    "mmd-blocks": Traits(two_sample(gaussian), {"bandwidth": 1.7}, weights=False),
    "w1": Traits(transport(1), degree=1, duplication=True, zero_at_equal=True),
    "w2": Traits(transport(2), degree=2, duplication=True, zero_at_equal=True),
    "sinkhorn": Traits(debiased, {"epsilon": 1.0, "tol": 1e-9}, tolerance=1e-6, duplication=True, zero_at_equal=True),
    "entropic-ot": Traits(entropic, {"epsilon": 1.0, "tol": 1e-9}, tolerance=1e-6, duplication=True),
    "sliced-w1": Traits(sliced(1), {"projections": 20}, degree=1, duplication=True, zero_at_equal=True),
    "sliced-w2": Traits(sliced(2), {"projections": 20}, degree=2, duplication=True, zero_at_equal=True),
    # the largest of a minimum over couplings lies on a kink of it: ascent comes near, and the direction moves with the points
    "max-sliced-w2": Traits(maximal, tolerance=2e-5, degree=2, duplication=True, zero_at_equal=True, envelope=False),
    "gaussian-w2": Traits(moments, degree=2, zero_at_equal=True),
    "fid": Traits(moments, degree=2, zero_at_equal=True),
    "kl-knn": Traits(neighbours, degree=0, symmetric=False, weights=False, envelope=False),
    "renyi-knn": Traits(renyi_neighbours, {"order": 0.5}, symmetric=False, weights=False, envelope=False),
    **{name: Traits(symmetric=name in SYMMETRIC) for name in LEARNED},
    **{f"{name}-classifier": Traits(symmetric=name in SYMMETRIC) for name in LEARNED},
    "kl-dv": Traits(symmetric=False),
    "renyi": Traits(fields={"order": 0.5}, symmetric=False),
    "pearson-hcr": Traits(symmetric=False),
    "w1-dual": Traits(fields={"steps": 50}),
    "alpha": Traits(fields={"order": 0.5}, symmetric=False),
    "weighted-js": Traits(fields={"weight": 0.3}, symmetric=False),
    "skew-kl": Traits(fields={"weight": 0.5}, symmetric=False),
    "relative-pearson": Traits(fields={"weight": 0.5}, symmetric=False),
}


def samples(n: int = 30, m: int = 45, d: int = 3, seed: int = 0, shift: float = 0.7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    y = torch.randn(m, d, generator=generator, dtype=torch.float64)
    x[:, 0] += shift
    return x, 1.2 * y


def weights(n: int, seed: int = 1) -> Tensor:
    return 0.2 + torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
