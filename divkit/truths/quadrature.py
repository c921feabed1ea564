"""Adaptive quadrature in the log domain, on the line seen from its special points.

Every stretch of the line is measured by t = log of the distance from one of its ends, so that power laws at an end,
narrow peaks around a point and heavy tails are all smooth functions of t, and the divergent integrals are those whose
integrand does not decay in t.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["FLOOR", "NEAR", "Array", "Chart", "Logs", "charts", "log_integrals"]

Array = NDArray[np.float64]
Logs = Callable[[Array, Array], Array]  # (origin, offset), each (k,) -> (rows, k): logs of non-negative integrands

FLOOR = -1e300  # log-density inside the support: an underflow must not look like the edge of the support
NEAR, FAR = -700.0, 340.0  # t of a distance relative to the scale: e^-700 is representable, e^340 squared too
_TOLERANCE = 1e-13  # the error beyond which a panel is halved, relative to the whole integral
_ACCEPTED = 1e-8  # the error of all panels together beyond which the integral is refused, relative
_PANELS = 4096  # to halve in one round; more means that rounding, not the rule, limits the error
_NEGLIGIBLE = -33.0  # log of what an end may still carry, relative to the whole integral
_UNSEEN = "one law has mass where the other's density is too small for a float; give laws that are closer"
_RULES = tuple(np.polynomial.legendre.leggauss(k) for k in (12, 20))


@dataclass(frozen=True)
class Chart:
    """A stretch of the line seen from `origin`: points origin + sign · e^t, start ≤ t ≤ stop; `open` if it ends at infinity."""

    origin: float
    sign: float
    start: float
    stop: float
    open: bool


def charts(points: Sequence[float], scales: tuple[float, float], low: float = -math.inf, high: float = math.inf) -> list[Chart]:
    """Return the charts that cover (low, high), split at the points and at the middles between them.

    `scales` are the smallest and the largest scale of what is integrated: rays start far below and end far above them.
    """
    ends = sorted({x for x in (*points, low, high) if math.isfinite(x)})
    inner = [
        Chart(origin, sign, max(math.log(b / 2 - a / 2) + NEAR, -740.0), math.log(b / 2 - a / 2), False)
        for a, b in pairwise(ends)
        for origin, sign in ((a, 1.0), (b, -1.0))
    ]
    start, stop = max(math.log(scales[0]) + NEAR, -740.0), math.log(scales[1]) + FAR
    rays = [(ends[0], -1.0, low), (ends[-1], 1.0, high)]
    outer = [Chart(x, sign, start, stop, True) for x, sign, end in rays if math.isinf(end)]
    return inner + outer


def log_integrals(logs: Logs, pieces: Sequence[Chart], what: str) -> Array:
    """Return the logarithms of the integrals of non-negative functions over the charts.

    Parameters
    ----------
    logs : callable
        (origin, offset) → (rows, k), logs of the integrands at origin + offset. Row 0 is the one in question: it may be
        infinite; the others (the masses of the laws) only steer the panels and are for the caller to check.
    pieces : sequence of Chart
        What to integrate over.
    what : str
        The integral's name, for the refusal.

    Returns
    -------
    ndarray, shape (rows,)
        Logarithms; the first is +inf where the integrand does not decay at an end, or is infinite inside.

    Raises
    ------
    ValueError
        If neither convergence nor divergence can be told, or if the error estimate exceeds 1e-8 of the value.

    Examples
    --------
    >>> gaussian = lambda origin, offset: -((origin + offset) ** 2)[None] / 2
    >>> round(float(np.exp(2 * log_integrals(gaussian, charts([0.0], (1.0, 1.0)), "2 pi"))[0]), 12) == round(2 * np.pi, 12)
    True
    """
    panels = np.concatenate([_panels(piece) for piece in pieces])  # (k, 4): origin, sign, from, to
    fine, coarse = _apply(logs, panels, what)
    if np.isposinf(fine[0]).any() or _diverges(logs, pieces, float(_total(fine)[0]), what):
        return np.concatenate([[math.inf], _total(fine[1:])])
    done: list[tuple[Array, Array]] = []
    for _ in range(60):
        everything = np.concatenate([fine, *(f for f, _ in done)], axis=1)
        bad = (_gap(fine, coarse, _total(everything)) > _TOLERANCE).any(axis=0)
        done.append((fine[:, ~bad], coarse[:, ~bad]))
        if not bad.any() or bad.sum() > _PANELS:
            done.append((fine[:, bad], coarse[:, bad]))
            break
        panels = _halve(panels[bad])
        fine, coarse = _apply(logs, panels, what)
    values, checks = (np.concatenate(part, axis=1) for part in zip(*done))
    total = _total(values)
    error = float(_gap(values, checks, total)[0].sum())
    if not error <= _ACCEPTED:
        raise ValueError(
            f"{what}: quadrature reached a relative error of {error:.1e} only, wanted {_ACCEPTED:.0e}; give the parameters "
            "in float64, or laws that are less close or less extreme."
        )
    return total


def _panels(piece: Chart) -> Array:
    """Return the panels of a chart, at most 8 long in t: (k, 4), origin, sign, from, to."""
    edges = np.linspace(piece.start, piece.stop, math.ceil((piece.stop - piece.start) / 8.0) + 1)
    one = np.ones(len(edges) - 1)
    return np.stack([piece.origin * one, piece.sign * one, edges[:-1], edges[1:]], axis=1)


def _halve(panels: Array) -> Array:
    """Return the panels cut in two."""
    left, right = panels.copy(), panels.copy()
    left[:, 3] = right[:, 2] = panels[:, 2:].mean(axis=1)
    return np.concatenate([left, right])


def _apply(logs: Logs, panels: Array, what: str) -> tuple[Array, Array]:
    """Return the logs of the panels' integrals by the fine and by the coarse rule, each (rows, panels)."""
    coarse, fine = (_gauss(logs, panels, nodes, weights, what) for nodes, weights in _RULES)
    return fine, coarse


def _gauss(logs: Logs, panels: Array, nodes: Array, weights: Array, what: str) -> Array:
    """Return the logs of the integrals over panels by one rule: (rows, panels)."""
    middle, half = panels[:, 2:].mean(axis=1), np.diff(panels[:, 2:], axis=1)[:, 0] / 2
    values = _in_log(logs, panels[:, 0, None], panels[:, 1, None], middle[:, None] + half[:, None] * nodes, what)
    top = values.max(axis=-1)
    shift = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore", over="ignore"):
        sums: Array = shift + np.log((weights * np.exp(values - shift[..., None])).sum(axis=-1)) + np.log(half)
    return sums


def _in_log(logs: Logs, origin: Array, sign: Array, t: Array, what: str) -> Array:
    """Return log of (integrand · dx/dt), shape (rows, *t.shape)."""
    origin, offset = np.broadcast_to(origin, t.shape), sign * np.exp(t)
    with np.errstate(all="ignore"):
        values = logs(origin.ravel(), offset.ravel())
    if np.isnan(values).any():
        bad = (origin + offset).ravel()[np.isnan(values).any(axis=0)][0]
        raise ValueError(f"{what}: the integrand is not a number at {bad:.6g}; give less extreme parameters, in float64.")
    result: Array = values.reshape(-1, *t.shape) + t
    return result


def _diverges(logs: Logs, pieces: Sequence[Chart], total: float, what: str) -> bool:
    """Tell by the slopes in t whether the first integral is infinite at one of the ends."""
    for piece in pieces:
        for end, outwards in [(piece.start, -1.0), *([(piece.stop, 1.0)] if piece.open else [])]:
            steps = np.arange(0.0, (piece.stop - piece.start) / (2.0 if piece.open else 1.0), 0.5)  # of a ray each end's half
            rows = _in_log(logs, np.array(piece.origin), np.array(piece.sign), end - outwards * steps, what)
            # where a density is at its floor the integrand is no longer true, nor is it beyond: the end is just before
            floored = ((rows[1:] <= FLOOR / 2.0) & np.isfinite(rows[1:])).any(axis=0)
            first = 1 + int(np.flatnonzero(floored)[-1]) if floored.any() else 0
            unseen = first > 0 and float(rows[1:, :first].max()) > _NEGLIGIBLE
            if first == len(steps):
                if unseen:
                    raise ValueError(f"{what}: {_UNSEEN}.")
                continue
            stride = 40 if first == 0 else 1
            last, middle, before = rows[0, first + np.minimum(stride * np.arange(3), len(steps) - 1 - first)]
            growing = first > 0 and last > middle  # into the floor
            if not (growing or last - max(total, FLOOR) > _NEGLIGIBLE):
                if unseen:
                    raise ValueError(f"{what}: {_UNSEEN}.")
                continue
            at = end - outwards * float(steps[first])
            slope, earlier = 2.0 * (last - middle) / stride, 2.0 * (middle - before) / stride
            # a slope that still falls may turn negative further out: neither verdict is safe there
            if slope >= -1e-8 and not slope < earlier - 1e-8 * max(1.0, abs(earlier)):
                return True
            raise ValueError(
                f"{what}: the integrand falls too slowly near {piece.origin + piece.sign * math.exp(at):.3g} to tell its "
                "integral; give laws with lighter tails or weaker singularities."
            )
    return False


def _total(logs: Array) -> Array:
    """Return the logs of the sums over panels."""
    result: Array = np.logaddexp.reduce(logs, axis=1)
    return result


def _gap(fine: Array, coarse: Array, total: Array) -> Array:
    """Return |fine − coarse| of every panel relative to the whole integral (0 where that is 0)."""
    scale = np.where(np.isfinite(total), total, 0.0)[:, None]
    with np.errstate(over="ignore"):
        gap: Array = np.abs(np.exp(fine - scale) - np.exp(coarse - scale))
    return gap
