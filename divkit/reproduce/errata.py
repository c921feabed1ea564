"""The survey's thirteen errata: each a computation of what is printed, of what is right, and of what divkit says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from torch.distributions import Gumbel, Uniform

from divkit.fdiv.table import FGAN_JS, GAN, KL, REVERSE_KL
from divkit.reproduce.case import Quantity, near
from divkit.reproduce.kit import normal, number
from divkit.reproduce.printed import PAIRS, conjugate, integral
from divkit.transport import Wasserstein
from divkit.truths import exact

__all__ = ["ERRATA", "errata"]

Array = NDArray[np.float64]

SOURCE = "A Brief Survey of Generative Models (web page), text"
LOG2, LOG4 = math.log(2.0), math.log(4.0)
DRAWS = 400_000  # where an erratum is shown by random draws
ERRORS = 5.0  # standard errors allowed there


def _maximiser(seed: int) -> list[Quantity]:
    note = "f = u log u has f′(u) = 1 + log u, so T* = 1 + log(p/q); printed with q/p"
    return [_row("forward KL's T* where p = 2q", 1 - LOG2, 1 + LOG2, float(KL.derivative(number(2.0))), note)]


def _reverse(seed: int) -> list[Quantity]:
    p, q = normal(1.0, 1.0), normal(0.0, 1.0)
    note = "∫ q log(p/q) is −KL(Q‖P), never positive; f = −log u gives ∫ q log(q/p)"
    return [_row("reverse KL of N(1, 1) and N(0, 1)", -0.5, 0.5, exact("reverse-kl", p, q), note)]


def _half(seed: int) -> list[Quantity]:
    p, q = Uniform(number(0.0), number(1.0)), Uniform(number(2.0), number(3.0))
    note = "the integral printed has ½, its generator, T*, f^c and g_f belong to twice that; f(0) + f′(∞) = 2 log 2"
    return [_row("the Jensen–Shannon row for disjoint laws", LOG2, 2 * LOG2, exact("fgan-js", p, q), note)]


def _not_zero(seed: int) -> list[Quantity]:
    same = normal(0.0, 1.0)
    note = "the survey asks f(1) = 0 of every generator, and prints one with f(1) = −log 4: the value at P = Q, its minimum"
    f1 = float(GAN.f(number(1.0)))
    return [
        _row("GAN's f(1), asked to be 0", 0.0, -LOG4, f1, note),
        _row("GAN's divergence at P = Q", 0.0, -LOG4, exact("gan", same, same), note),
    ]


def _biconjugate(seed: int) -> list[Quantity]:
    def f(u: float) -> float:
        return u * math.log(u)

    u, best = 2.0, 1 + math.log(2.0)  # the supremum over t of tu − f^c(t) is reached at t = f'(u)
    least = optimize.minimize_scalar(lambda t: float(KL.conjugate(number(t))) - u * t, bounds=(-5, 5), method="bounded")
    note = "printed f(t) = sup over t: the bound variable stands on the left, where f(u) must"
    return [_row("sup over t of 2t − f^c(t), f = u log u", f(best), f(u), -float(least.fun), note)]


def _domain(seed: int) -> list[Quantity]:
    ours = float(REVERSE_KL.conjugate(number(0.5)))
    right = conjugate(lambda u: -np.log(u), 0.5)
    note = "T cannot be arbitrary: outside the domain f^c is infinite, and E_P T − E_Q f^c(T) no bound; and Jessen is Jensen"
    return [near("reverse KL's f^c at T = ½, outside its domain", ours, right, 0.0, note=note)]


def _density(seed: int) -> list[Quantity]:
    """Show that a segment has mass ~ r in a ball of area ~ r²: a density would make the ratio level off."""
    radii = np.array([0.1, 0.01])
    z = np.random.default_rng(seed).uniform(size=DRAWS)
    points = np.stack([z, 2 * z], 1)  # G(z) = (z, 2z), seen from G(½)
    distances = np.linalg.norm(points - np.array([0.5, 1.0]), axis=1)
    shares = np.array([(distances < r).mean() for r in radii])
    slope = float(np.diff(np.log(shares / (math.pi * radii**2)))[0] / np.diff(np.log(radii))[0])
    error = float(np.sqrt(((1 - shares) / shares / DRAWS).sum()) / abs(np.diff(np.log(radii))[0]))
    note = "q(x) is no density where z has fewer dimensions than x: mass over area grows like 1/r; a density has slope 0"
    what = "slope in log r of Q(ball of radius r)/area, Q = law of (z, 2z)"
    return [_row(what, 0.0, -1.0, slope, note, tolerance=ERRORS * error, stderr=error)]


def _orientation(seed: int) -> list[Quantity]:
    t = REVERSE_KL.derivative(number(2.0))  # T* where p = 2q
    ours = optimize.brentq(lambda v: float(REVERSE_KL.activation(number(v)) - t), -5, 5)
    note = "−exp ν decreases: its ν* is log(q/p), while the JS and GAN rows have log(p/q); −exp(−ν) agrees with them"
    return [_row("reverse KL's ν* where p = 2q", -LOG2, LOG2, ours, note)]


def _root(seed: int) -> list[Quantity]:
    e = Wasserstein(2.0).estimate(np.zeros((2, 1)), np.full((2, 1), 2.0))
    note = "W_p is defined as W_c^(1/p), then printed without the root"
    return [_row("2-Wasserstein distance of point masses at 0 and 2", 4.0, 2.0, e.root(2).value, note)]


def _duality(seed: int) -> list[Quantity]:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(6, 2)), rng.normal(1.0, 1.0, size=(6, 2))
    distance = np.linalg.norm(x[:, None] - y[None], axis=-1)
    e = Wasserstein(2.0).estimate(x, y)
    note = "Kantorovich's dual holds for any lower semicontinuous cost; only its 1-Lipschitz form is W₁'s"
    lower = e.value if e.solution.lower is None else e.solution.lower
    return [
        _row("dual of transport at cost |x−y|², 6 and 6 points", _dual(distance), _dual(distance**2), lower, note),
        near("its primal", _primal(distance**2), _dual(distance**2), 1e-7, note="equal: no gap"),
    ]


def _inside(seed: int) -> list[Quantity]:
    """Take p(z) = N(0, 1), p(x|z) = N(z, 1), q(z|x) = N(μ, s²), x = 1: expectations by Gauss–Hermite quadrature."""
    x, mu, s = 1.0, 0.3, 0.8
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    z, w = mu + s * nodes, weights / math.sqrt(2 * math.pi)

    def log_density(a: Any, mean: Any, sd: float) -> Array:
        result: Array = -(((a - mean) / sd) ** 2) / 2 - math.log(sd) - math.log(2 * math.pi) / 2
        return result

    q, prior, likelihood = log_density(z, mu, s), log_density(z, 0.0, 1.0), log_density(x, z, 1.0)
    kl = exact("kl", normal(mu, s), normal(0.0, 1.0))
    bound = float(w @ likelihood) - kl
    printed = float(w @ (likelihood - np.exp(q) * (q - prior)))
    note = (
        "samples inside a KL; right are (1/L)Σ log p(x|z) − KL and (1/L)Σ [log p(x, z) − log q(z|x)], which agree; "
        "in the first line of the bound a parenthesis is missing"
    )
    ours = float(w @ (likelihood + prior - q))
    return [_row("E of the VAE's Monte-Carlo formula, KL read at a sample", printed, bound, ours, note)]


def _clipping(seed: int) -> list[Quantity]:
    """Let T(x) = wx ascend between point masses at 0 and 1, a thousand steps of rate 1, by both clippings."""
    c, slopes = 0.01, {"gradient": 0.0, "weight": 0.0}
    for _ in range(1000):
        slopes["gradient"] += min(1.0, c)  # the objective's gradient in w is 1, clipped at c
        slopes["weight"] = min(slopes["weight"] + 1.0, c)
    note = "WGAN clips weights: clipping gradients leaves the critic's slope unbounded, so no Lipschitz constant"
    return [_row("slope of a critic after 1 000 clipped steps, c = .01", slopes["gradient"], c, slopes["weight"], note)]


def _lost(seed: int) -> list[Quantity]:
    """Judge the displays that the survey's page has lost."""
    p, q = normal(1.0, 1.0), normal(0.0, 1.5)
    most = integral(PAIRS[0], lambda a, b: a * np.log(a / (a + b)) + b * np.log(b / (a + b)))
    title, note = (
        "max over D of GAN's F = 2·JS − log 4, N(1, 1) ‖ N(0, 1.5²)",
        "the display is lost; the maximum is at D = p/(p+q)",
    )
    rows = [near(title, exact("fgan-js", p, q) - LOG4, most, 1e-8, note=note)]
    title, ours = "f^c(t) = sup over u of ut − f(u), the lost display, JS at t = ½", float(FGAN_JS.conjugate(number(0.5)))
    rows.append(near(title, ours, conjugate(lambda u: u * np.log(u) - (u + 1) * np.log((u + 1) / 2), 0.5), 1e-8))
    return [*rows, *_wae(seed), *_gumbel(seed)]


def _wae(seed: int) -> list[Quantity]:
    """Solve WAE's three problems as linear programs: five points x, four codes z of which two decode to the same point."""
    rng = np.random.default_rng(seed)
    x, decoded = rng.normal(size=5), rng.normal(size=4)
    decoded[3] = decoded[0]
    px, pz = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(4))
    cost = (x[:, None] - decoded[None]) ** 2
    transport = _program(cost[:, :3], px, np.array([pz[0] + pz[3], pz[1], pz[2]]))
    encoder = _program(cost, px, pz)
    strong = float(cost.max()) * 1.01
    exactly, relaxed = _penalised(cost, px, pz, strong), _penalised(cost, px, pz, strong / 10)
    title, note = (
        "inf over encoders with Q_Z = P_Z, the lost theorem of WAE",
        "equal to the transport cost between P_X and the decoder's law",
    )
    rows = [near(title, encoder, transport, 1e-8, note=note)]
    title, note = (
        "inf of E c + λ·TV(Q_Z, P_Z), the lost objective (POT), λ large",
        "the penalty is exact once λ exceeds the largest cost",
    )
    rows.append(near(title, exactly, encoder, 1e-8, note=note))
    title, below = "the same at λ a tenth of that", relaxed <= encoder + 1e-9
    return [*rows, Quantity(title, relaxed, encoder, note="a relaxation: below", passed=below, tolerance=0.0)]


def _gumbel(seed: int) -> list[Quantity]:
    """Draw by the Gumbel trick, and judge the categories and the law of the maximum."""
    alpha = np.array([0.5, 1.0, 2.5])
    g = np.random.default_rng(seed).gumbel(size=(DRAWS, 3)) + np.log(alpha)
    below = float((g.max(1) <= 2.0).mean())
    law = math.exp(-math.exp(-(2.0 - math.log(alpha.sum()))))
    cdf = float(Gumbel(number(1.0), number(2.0)).cdf(number(0.5)))  # type: ignore[no-untyped-call]
    shares = zip(np.bincount(g.argmax(1), minlength=3) / DRAWS, alpha / alpha.sum())
    return [
        *(_share(f"share of argmax(log α + G) = {k}, α = ½, 1, 2½", *share) for k, share in enumerate(shares)),
        _share("P(max ≤ 2): max ~ Gumbel(log Σα)", below, law),
        near("F(½) = exp(−e^(−(½−μ)/β)), μ = 1, β = 2", cdf, math.exp(-math.exp(0.25)), 1e-12),
    ]


def _share(title: str, ours: float, exact: float) -> Quantity:
    """Return a row that passes where a share of random draws is within its standard errors of the exact one."""
    error = math.sqrt(ours * (1 - ours) / DRAWS)
    return near(title, float(ours), float(exact), ERRORS * error, stderr=error)


def _row(title: str, printed: float, right: float, ours: float, note: str, *, tolerance: float = 1e-6, **rest: Any) -> Quantity:
    """Return a row that passes where ours is right and what is printed is not."""
    passed = abs(ours - right) <= tolerance < abs(printed - right)
    return Quantity(title, ours, right, printed, SOURCE, tolerance=tolerance, passed=passed, note=note, **rest)


def _program(cost: Array, px: Array, pz: Array) -> float:
    """Return the least mean cost of a coupling of px and pz."""
    best = optimize.linprog(cost.ravel(), A_eq=np.vstack(_margins(*cost.shape)), b_eq=np.concatenate([px, pz]))
    return float(best.fun)


def _penalised(cost: Array, px: Array, pz: Array, strength: float) -> float:
    """Return min over Q(z|x) of E c + λ·½Σ|Q_Z − P_Z|: the excess e ≥ Q_Z − P_Z has Σ e⁺ = TV."""
    n, m = cost.shape
    rows, columns = _margins(n, m)
    costs, equal, less = (
        np.append(cost.ravel(), [strength] * m),
        np.hstack([rows, np.zeros((n, m))]),
        np.hstack([columns, -np.eye(m)]),
    )
    return float(optimize.linprog(costs, A_eq=equal, b_eq=px, A_ub=less, b_ub=pz).fun)


def _margins(n: int, m: int) -> tuple[Any, Any]:
    """Return the matrices that sum the rows and the columns of a flattened (n, m) plan."""
    return np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))


def _primal(cost: Array) -> float:
    """Return the least mean cost of transport between equal numbers of points, by assignment."""
    rows, columns = optimize.linear_sum_assignment(cost)
    return float(cost[rows, columns].mean())


def _dual(cost: Array) -> float:
    """Return max Σu/n + Σv/n with uᵢ + vⱼ ≤ cᵢⱼ."""
    n = len(cost)
    pairs = np.vstack(_margins(n, n)).T
    return -float(optimize.linprog(-np.full(2 * n, 1 / n), A_ub=pairs, b_ub=cost.ravel(), bounds=(None, None)).fun)


def errata(seed: int) -> Iterator[list[Quantity]]:
    """Yield the rows of each erratum, its number at the head of each."""
    for k, erratum in enumerate(ERRATA, 1):
        yield [replace(row, quantity=f"erratum {k}: {row.quantity}") for row in erratum(seed)]


ERRATA: Sequence[Callable[[int], list[Quantity]]] = (
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
