"""The survey's thirteen errata: each a computation of what is printed, of what is right, and of what divkit says."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import optimize
from torch.distributions import Gumbel, Normal, Uniform

from divkit.fdiv.table import FGAN_JS, GAN, KL, REVERSE_KL
from divkit.reproduce.case import Quantity, near
from divkit.reproduce.printed import PAIRS, conjugate, integral
from divkit.transport import Wasserstein
from divkit.truths import exact

__all__ = ["ERRATA"]

Array = NDArray[np.float64]

SOURCE = "A Brief Survey of Generative Models (web page), text"
LOG2, LOG4 = math.log(2.0), math.log(4.0)
DRAWS = 400_000
ERRORS = 5.0  # standard errors allowed where draws are random


def _maximiser(number: int, seed: int) -> list[Quantity]:
    u = torch.tensor(2.0, dtype=torch.float64)
    note = "f = u log u has f′(u) = 1 + log u, so T* = 1 + log(p/q); printed with q/p"
    return [_row(number, "forward KL's T* where p = 2q", 1 - LOG2, 1 + LOG2, float(KL.derivative(u)), note)]


def _reverse(number: int, seed: int) -> list[Quantity]:
    p, q = _normal(1.0, 1.0), _normal(0.0, 1.0)
    note = "∫ q log(p/q) is −KL(Q‖P), never positive; f = −log u gives ∫ q log(q/p)"
    return [_row(number, "reverse KL of N(1, 1) and N(0, 1)", -0.5, 0.5, exact("reverse-kl", p, q), note)]


def _half(number: int, seed: int) -> list[Quantity]:
    p, q = Uniform(_number(0.0), _number(1.0)), Uniform(_number(2.0), _number(3.0))
    note = "the integral printed has ½, its generator, T*, f^c and g_f belong to twice that; f(0) + f′(∞) = 2 log 2"
    return [_row(number, "the Jensen–Shannon row for disjoint laws", LOG2, 2 * LOG2, exact("fgan-js", p, q), note)]


def _not_zero(number: int, seed: int) -> list[Quantity]:
    same = _normal(0.0, 1.0)
    note = "the survey asks f(1) = 0 of every generator, and prints one with f(1) = −log 4: the value at P = Q, its minimum"
    f1 = float(GAN.f(_number(1.0)))
    return [
        _row(number, "GAN's f(1), asked to be 0", 0.0, -LOG4, f1, note),
        _row(number, "GAN's divergence at P = Q", 0.0, -LOG4, exact("gan", same, same), note),
    ]


def _biconjugate(number: int, seed: int) -> list[Quantity]:
    def f(u: float) -> float:
        return u * math.log(u)

    u, best = 2.0, 1 + math.log(2.0)  # the supremum over t of tu − f^c(t) is reached at t = f'(u)
    found = optimize.minimize_scalar(lambda t: float(KL.conjugate(_number(t))) - u * t, bounds=(-5, 5), method="bounded")
    note = "printed f(t) = sup over t: the bound variable stands on the left, where f(u) must"
    return [_row(number, "sup over t of 2t − f^c(t), f = u log u", f(best), f(u), -float(found.fun), note)]


def _domain(number: int, seed: int) -> list[Quantity]:
    found = float(REVERSE_KL.conjugate(_number(0.5)))
    right = conjugate(lambda u: -np.log(u), 0.5)
    note = "T cannot be arbitrary: outside the domain f^c is infinite, and E_P T − E_Q f^c(T) no bound; and Jessen is Jensen"
    return [near(_title(number, "reverse KL's f^c at T = ½, outside its domain"), found, right, 0.0, note=note)]


def _density(number: int, seed: int) -> list[Quantity]:
    """A segment has mass ~ r in a ball of area ~ r²: a density would make the ratio level off."""
    radii = np.array([0.1, 0.01])
    z = np.random.default_rng(seed).uniform(size=DRAWS)
    points = np.stack([z, 2 * z], 1)  # G(z) = (z, 2z), seen from G(½)
    distances = np.linalg.norm(points - np.array([0.5, 1.0]), axis=1)
    shares = np.array([(distances < r).mean() for r in radii])
    slope = float(np.diff(np.log(shares / (math.pi * radii**2)))[0] / np.diff(np.log(radii))[0])
    error = float(np.sqrt(((1 - shares) / shares / DRAWS).sum()) / abs(np.diff(np.log(radii))[0]))
    note = "q(x) is no density where z has fewer dimensions than x: mass over area grows like 1/r; a density has slope 0"
    what = "slope in log r of Q(ball of radius r)/area, Q = law of (z, 2z)"
    return [_row(number, what, 0.0, -1.0, slope, note, tolerance=ERRORS * error, stderr=error)]


def _orientation(number: int, seed: int) -> list[Quantity]:
    t = REVERSE_KL.derivative(_number(2.0))  # T* where p = 2q
    ours = optimize.brentq(lambda v: float(REVERSE_KL.activation(_number(v)) - t), -5, 5)
    note = "−exp ν decreases: its ν* is log(q/p), while the JS and GAN rows have log(p/q); −exp(−ν) agrees with them"
    return [_row(number, "reverse KL's ν* where p = 2q", -LOG2, LOG2, ours, note)]


def _root(number: int, seed: int) -> list[Quantity]:
    e = Wasserstein(2.0).estimate(np.zeros((2, 1)), np.full((2, 1), 2.0))
    note = "W_p is defined as W_c^(1/p), then printed without the root"
    return [_row(number, "2-Wasserstein distance of point masses at 0 and 2", 4.0, 2.0, e.root(2).value, note)]


def _duality(number: int, seed: int) -> list[Quantity]:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(6, 2)), rng.normal(1.0, 1.0, size=(6, 2))
    distance = np.linalg.norm(x[:, None] - y[None], axis=-1)
    e = Wasserstein(2.0).estimate(x, y)
    note = "Kantorovich's dual holds for any lower semicontinuous cost; only its 1-Lipschitz form is W₁'s"
    lower = e.value if e.solution.lower is None else e.solution.lower
    return [
        _row(number, "dual of transport at cost |x−y|², 6 and 6 points", _dual(distance), _dual(distance**2), lower, note),
        near(_title(number, "its primal"), _primal(distance**2), _dual(distance**2), 1e-7, note="equal: no gap"),
    ]


def _inside(number: int, seed: int) -> list[Quantity]:
    """p(z) = N(0, 1), p(x|z) = N(z, 1), q(z|x) = N(μ, s²), x = 1: every expectation by Gauss–Hermite quadrature."""
    x, mu, s = 1.0, 0.3, 0.8
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    z, w = mu + s * nodes, weights / math.sqrt(2 * math.pi)

    def log_normal(a: Any, mean: Any, sd: float) -> Array:
        result: Array = -(((a - mean) / sd) ** 2) / 2 - math.log(sd) - math.log(2 * math.pi) / 2
        return result

    q, prior, likelihood = log_normal(z, mu, s), log_normal(z, 0.0, 1.0), log_normal(x, z, 1.0)
    kl = exact("kl", _normal(mu, s), _normal(0.0, 1.0))
    bound = float(w @ likelihood) - kl
    printed = float(w @ (likelihood - np.exp(q) * (q - prior)))
    note = (
        "samples inside a KL; right are (1/L)Σ log p(x|z) − KL and (1/L)Σ [log p(x, z) − log q(z|x)], which agree; "
        "in the first line of the bound a parenthesis is missing"
    )
    ours = float(w @ (likelihood + prior - q))
    return [_row(number, "E of the VAE's Monte-Carlo formula, KL read at a sample", printed, bound, ours, note)]


def _clipping(number: int, seed: int) -> list[Quantity]:
    """T(x) = wx between point masses at 0 and 1: after a thousand steps of ascent with rate 1, by both clippings."""
    c, slopes = 0.01, {"gradient": 0.0, "weight": 0.0}
    for _ in range(1000):
        slopes["gradient"] += min(1.0, c)  # the objective's gradient in w is 1, clipped at c
        slopes["weight"] = min(slopes["weight"] + 1.0, c)
    note = "WGAN clips weights: clipping gradients leaves the critic's slope unbounded, so no Lipschitz constant"
    return [_row(number, "slope of a critic after 1 000 clipped steps, c = .01", slopes["gradient"], c, slopes["weight"], note)]


def _lost(number: int, seed: int) -> list[Quantity]:
    p, q = _normal(1.0, 1.0), _normal(0.0, 1.5)
    value = integral(PAIRS[0], lambda a, b: a * np.log(a / (a + b)) + b * np.log(b / (a + b)))
    rows = [
        near(
            _title(number, "max over D of GAN's F = 2·JS − log 4, N(1, 1) ‖ N(0, 1.5²)"),
            exact("fgan-js", p, q) - LOG4,
            value,
            1e-8,
            note="the display is lost; the maximum is at D = p/(p+q)",
        ),
        near(
            _title(number, "f^c(t) = sup over u of ut − f(u), the lost display, JS at t = ½"),
            float(FGAN_JS.conjugate(_number(0.5))),
            conjugate(lambda u: u * np.log(u) - (u + 1) * np.log((u + 1) / 2), 0.5),
            1e-8,
        ),
    ]
    return [*rows, *_wae(number, seed), *_gumbel(number, seed)]


def _wae(number: int, seed: int) -> list[Quantity]:
    """Five points x, four codes z of which two decode to the same point: all three problems as linear programs."""
    rng = np.random.default_rng(seed)
    x, decoded = rng.normal(size=5), rng.normal(size=4)
    decoded[3] = decoded[0]
    px, pz = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(4))
    cost = (x[:, None] - decoded[None]) ** 2
    merged = np.array([pz[0] + pz[3], pz[1], pz[2]])
    transport = _program(cost[:, :3], px, merged)
    encoder = _program(cost, px, pz)
    strong = float(cost.max()) * 1.01
    return [
        near(
            _title(number, "inf over encoders with Q_Z = P_Z, the lost theorem of WAE"),
            encoder,
            transport,
            1e-8,
            note="equal to the transport cost between P_X and the decoder's law",
        ),
        near(
            _title(number, "inf of E c + λ·TV(Q_Z, P_Z), the lost objective (POT), λ large"),
            _penalised(cost, px, pz, strong),
            encoder,
            1e-8,
            note="the penalty is exact once λ exceeds the largest cost",
        ),
        Quantity(
            _title(number, "the same at λ a tenth of that"),
            ours=_penalised(cost, px, pz, strong / 10),
            exact=encoder,
            note="a relaxation: below",
            passed=_penalised(cost, px, pz, strong / 10) <= encoder + 1e-9,
            tolerance=0.0,
        ),
    ]


def _gumbel(number: int, seed: int) -> list[Quantity]:
    alpha = np.array([0.5, 1.0, 2.5])
    g = np.random.default_rng(seed).gumbel(size=(DRAWS, 3)) + np.log(alpha)
    shares = np.bincount(g.argmax(1), minlength=3) / DRAWS
    rows = [
        near(
            _title(number, f"share of argmax(log α + G) = {k}, α = ½, 1, 2½"),
            float(shares[k]),
            float(alpha[k] / alpha.sum()),
            ERRORS * _error(shares[k]),
            stderr=_error(shares[k]),
        )
        for k in range(3)
    ]
    below = float((g.max(1) <= 2.0).mean())
    law = math.exp(-math.exp(-(2.0 - math.log(alpha.sum()))))
    cdf = float(Gumbel(_number(1.0), _number(2.0)).cdf(_number(0.5)))  # type: ignore[no-untyped-call]
    return [
        *rows,
        near(_title(number, "P(max ≤ 2): max ~ Gumbel(log Σα)"), below, law, ERRORS * _error(below), stderr=_error(below)),
        near(_title(number, "F(½) = exp(−e^(−(½−μ)/β)), μ = 1, β = 2"), cdf, math.exp(-math.exp(0.25)), 1e-12),
    ]


def _row(
    number: int, what: str, printed: float, right: float, ours: float, note: str, *, tolerance: float = 1e-6, **rest: Any
) -> Quantity:
    """It holds where ours is right and what is printed is not."""
    passed = abs(ours - right) <= tolerance < abs(printed - right)
    return Quantity(_title(number, what), ours, right, printed, SOURCE, tolerance=tolerance, passed=passed, note=note, **rest)


def _title(number: int, what: str) -> str:
    return f"erratum {number}: {what}"


def _program(cost: Array, px: Array, pz: Array) -> float:
    """min over couplings of px and pz of the mean cost."""
    n, m = cost.shape
    rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    found = optimize.linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([px, pz]))
    return float(found.fun)


def _penalised(cost: Array, px: Array, pz: Array, strength: float) -> float:
    """min over Q(z|x) of E c + λ·½Σ|Q_Z − P_Z|: the excess e ≥ Q_Z − P_Z has Σ e⁺ = TV."""
    n, m = cost.shape
    rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    found = optimize.linprog(
        np.concatenate([cost.ravel(), np.full(m, strength)]),
        A_eq=np.hstack([rows, np.zeros((n, m))]),
        b_eq=px,
        A_ub=np.hstack([columns, -np.eye(m)]),
        b_ub=pz,
    )
    return float(found.fun)


def _primal(cost: Array) -> float:
    """Transport between equal numbers of points, by assignment."""
    rows, columns = optimize.linear_sum_assignment(cost)
    return float(cost[rows, columns].mean())


def _dual(cost: Array) -> float:
    """max Σu/n + Σv/n with uᵢ + vⱼ ≤ cᵢⱼ."""
    n = len(cost)
    pairs = np.hstack([np.kron(np.eye(n), np.ones((n, 1))), np.kron(np.ones((n, 1)), np.eye(n))])
    found = optimize.linprog(-np.full(2 * n, 1 / n), A_ub=pairs, b_ub=cost.ravel(), bounds=(None, None))
    return -float(found.fun)


def _error(share: float) -> float:
    return math.sqrt(share * (1 - share) / DRAWS)


def _normal(mean: float, scale: float) -> Normal:
    return Normal(_number(mean), _number(scale))


def _number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


ERRATA: Sequence[Callable[[int, int], list[Quantity]]] = (
    _maximiser,
    _reverse,
    _half,
    _not_zero,
    _biconjugate,
    _domain,
    _density,
    _orientation,
    _root,
    _duality,
    _inside,
    _clipping,
    _lost,
)
