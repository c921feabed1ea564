"""Records made by computation: P and Q swapped, or a user's own generator f; both need f* by a numerical Legendre transform.

The transform is f*(t) = sup_u {ut − f(u)}. Its maximiser u = eᵛ solves f'(u) = t, that is a(v) = t.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from divkit.fdiv.interval import Interval
from divkit.fdiv.records import FARTHEST_LOGIT, BoundPair, FDivergence, Formulas, Function

__all__ = ["from_generator", "legendre", "perspective"]


def legendre(pair: BoundPair, reach: float = math.inf) -> Function:
    """Return f* of a canonical pair, computed as f*(t) = b(v) + eᵛ (t − a(v)) at the root v of a(v) = t, bisected in float64.

    Where a jumps over t the expression is still sup_u {ut − f(u)}, as the supremum lies at the jump. Its derivative by
    autograd is the maximiser u = eᵛ (envelope theorem); second derivatives are 0.

    Parameters
    ----------
    pair : BoundPair
        a(v) = f'(eᵛ), increasing, and b(v) = eᵛ f'(eᵛ) − f(eᵛ).
    reach : float
        The root is sought in |v| ≤ reach, and at most 300.

    Examples
    --------
    >>> from divkit.fdiv.table import KL
    >>> float(legendre(BoundPair(KL.a, KL.b))(torch.tensor(1.0)))
    1.0
    """
    end = min(reach, FARTHEST_LOGIT)

    def conjugate(t: Tensor) -> Tensor:
        wide = t.double()
        with torch.no_grad():
            low, high = torch.full_like(wide, -end), torch.full_like(wide, end)
            for _ in range(64):  # 600 / 2⁶⁴ is below float64's resolution
                middle = (low + high) / 2
                below = pair.a(middle) < wide
                low, high = torch.where(below, middle, low), torch.where(below, high, middle)
            a, b = pair.a(high), pair.b(high)
        return (b + high.exp() * (wide - a)).to(t.dtype)

    return conjugate


@lru_cache(maxsize=256)
def perspective(record: FDivergence) -> FDivergence:
    """Return the record with P and Q swapped, D°(P‖Q) = D(Q‖P): f°(u) = u f(1/u), a°(v) = −b(−v), b°(v) = −a(−v).

    The conjugate is computed by `legendre`; the activation is the canonical a°.

    Examples
    --------
    >>> from divkit.fdiv.table import KL
    >>> perspective(KL).f(torch.tensor([1.0, 2.0])).tolist()  # −log u
    [0.0, -0.6931471824645996]
    """
    pair, smooth = _swapped(BoundPair(record.a, record.b)), _swapped(record.smooth)
    end = torch.tensor(math.inf, dtype=torch.float64)
    upper = float(pair.a(end))
    domain = Interval(upper=upper, upper_closed=math.isfinite(upper) and bool(pair.b(end).isfinite()))
    old = record.formulas

    def generator(u: Tensor) -> Tensor:
        inside = u > 0
        safe = torch.where(inside, u, torch.ones_like(u))
        return torch.where(inside, safe * record.f(1 / safe), -pair.b(torch.full_like(u, -math.inf)))

    return FDivergence(
        name=f"perspective({record.name})",
        f=generator,
        a=pair.a,
        b=pair.b,
        finite_conjugate=legendre(pair, record.reach),
        domain=domain,
        activation=smooth.a,
        supremum=record.supremum,
        surrogate=smooth if record.surrogate else None,
        reach=record.reach,
        formulas=Formulas(
            integral=f"{old.integral} with p and q swapped",
            generator=f"u f(1/u), f(u) = {old.generator}",
            maximiser="f(1/u) − f'(1/u)/u",
            conjugate=f"−(f*)⁻¹(−t), f*(t) = {old.conjugate}",
            domain=str(domain),
            activation="−f*(f'(e^{−v}))",
        ),
        source=f"{record.source}, swapped",
    )


def _swapped(pair: BoundPair) -> BoundPair:
    """Return the pair for P and Q swapped, whose logit is −v."""
    return BoundPair(lambda v: -pair.b(-v), lambda v: -pair.a(-v))


def from_generator(f: Function, name: str) -> FDivergence:
    """Return a record of a user's own generator f(u): slopes by autograd, conjugate by `legendre`; all computed in float64.

    f(eᵛ) is evaluated up to |v| = 300; beyond the record's `reach` rounding in u f'(u) − f(u) would show, so logits are
    clipped there. Suprema are measured at that distance.

    Parameters
    ----------
    f : Function
        Elementwise, convex, f(1) = 0, of differentiable torch operations.
    name : str
        The name of estimates.

    Raises
    ------
    ValueError
        If f changes the shape, has no gradient, is not finite on [e⁻¹⁰, e¹⁰], is not convex there, or f(1) ≠ 0.

    Examples
    --------
    >>> record = from_generator(lambda u: u * torch.log(u), "mine")
    >>> [round(b, 4) for b in record.b(torch.tensor([0.0, 1.0])).tolist()]
    [1.0, 2.7183]
    """
    _check(f)
    pair = BoundPair(lambda v: _slope(f, v.double().exp()).to(v.dtype), lambda v: _intercept(f, v.double().exp()).to(v.dtype))
    far = torch.tensor([FARTHEST_LOGIT / 2, FARTHEST_LOGIT], dtype=torch.float64)
    domain = Interval(upper=_limit_at_infinity(pair.a(far)))
    reach = _accurate_to(f, pair)
    return FDivergence(
        name=name,
        f=lambda u: f(u.double()).to(u.dtype),
        a=pair.a,
        b=pair.b,
        finite_conjugate=legendre(pair, reach),
        domain=domain,
        activation=pair.a,
        supremum=domain.upper + _limit_at_infinity(f(torch.exp(-far))),
        reach=reach,
        formulas=Formulas("∫ q f(p/q)", "f(u)", "f'(u)", "sup_u {ut − f(u)}", str(domain), "f'(eᵛ)"),
        source="user's generator",
    )


def _slope(f: Function, u: Tensor) -> Tensor:
    """Return f'(u) by autograd, differentiable where u is."""
    with torch.enable_grad():
        point = u if u.requires_grad else u.detach().requires_grad_()
        (slope,) = torch.autograd.grad(f(point).sum(), point, create_graph=u.requires_grad)
    return slope


def _intercept(f: Function, u: Tensor) -> Tensor:
    """Return u f'(u) − f(u), which is b(log u)."""
    return u * _slope(f, u) - f(u)


def _limit_at_infinity(values: Tensor) -> float:
    """Return the limit of a function from its values at half and at all of a great distance: inf unless they agree."""
    half, full = values.tolist()
    return float(full) if math.isfinite(full) and abs(full - half) <= 1e-6 * max(abs(full), 1) else math.inf


def _accurate_to(f: Function, pair: BoundPair) -> float:
    """Return the largest |v| up to which rounding in b = u f'(u) − f(u) stays below a relative 1e-8."""
    v = torch.arange(0.0, FARTHEST_LOGIT + 0.5, 0.5, dtype=torch.float64)
    sound = torch.ones_like(v, dtype=torch.bool)
    for signed in (v, -v):
        a, b, value = pair.a(signed), pair.b(signed), f(signed.exp())
        rounding = torch.finfo(torch.float64).eps * ((signed.exp() * a).abs() + value.abs())
        sound &= a.isfinite() & b.isfinite() & (rounding <= 1e-8 * b.abs().clamp(min=1))
    return float(v[sound.long().cumprod(0).bool()].max())


def _check(f: Function) -> None:
    """Refuse an f that is no generator, judged at 401 points u between e⁻¹⁰ and e¹⁰."""
    u = torch.linspace(-10, 10, 401, dtype=torch.float64).exp().requires_grad_()
    values = f(u)
    if not isinstance(values, Tensor) or values.shape != u.shape:
        raise ValueError("f must map a tensor to a tensor of the same shape, elementwise.")
    if not values.requires_grad:
        raise ValueError("f must be made of differentiable torch operations: its value carries no gradient.")
    u, values = u.detach(), values.detach()
    slopes = _slope(f, u)
    if not (slopes.isfinite() & values.isfinite()).all():
        worst = float(u[~(slopes.isfinite() & values.isfinite())][0])
        raise ValueError(f"f and its derivative must be finite for u in [e^-10, e^10]: they are not at u = {worst:.4g}.")
    at_one = float(f(torch.ones((), dtype=torch.float64)))
    if not abs(at_one) <= 1e-9:
        raise ValueError(f"f(1) must be 0, got {at_one:.6g}: subtract it, or a multiple of u − 1, from f.")
    secants = values.diff() / u.diff()
    slack = 1e-6 * (1 + secants.abs())
    broken = (secants < slopes[:-1] - slack) | (secants > slopes[1:] + slack)
    if broken.any():
        raise ValueError(f"f must be convex: it is not near u = {float(u[:-1][broken][0]):.4g}.")
