"""Empirical measures, and the door for data: whatever users hold becomes two of them, or is refused in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from divkit.data.arrays import checked_groups, checked_weights, is_joint, parts_of
from divkit.data.frames import is_frame
from divkit.support.warnings import caution

__all__ = ["Measure", "PrecisionWarning", "grouped", "pair"]

Points = Tensor | tuple[Tensor, ...]


class PrecisionWarning(UserWarning):
    """The data's own rounding is large against their spread."""


class Measure:
    r"""An empirical measure :math:`P_n = \sum_i w_i \delta_{x_i}`.

    Parameters
    ----------
    points : array-like (n, *event) or tuple of such
        Samples along the first axis; one-dimensional input is read as ``(n, 1)``. A tuple of tensors or arrays is a joint
        sample: critics receive its parts, distances their concatenation.
    weights : array-like (n,), optional
        Importance weights, not counts; normalised here. Equal weights by default.
    groups : array-like (n,), optional
        A label for each row, a number or a word: rows of one group (a patient, a session, a pair) depend on each other, groups
        do not. The same label in two samples is the same group. Values stay as they are; errors and tests go by groups.

    Raises
    ------
    TypeError
        For sparse, complex, object, string and date data.
    ValueError
        For NaN, infinite or empty data, for weights that are negative, not finite, all zero or of the wrong length, and for
        groups that are not one label per row.

    Examples
    --------
    >>> from divkit import Measure
    >>> p = Measure([[0.0], [1.0], [4.0]], weights=[1, 1, 2])
    >>> p.n, p.mass, float(p.mean(p.flat[:, 0]))
    (3, 4.0, 2.25)
    """

    __slots__ = ("groups", "mass", "points", "source_dtype", "uniform", "weights")
    points: Points
    weights: Tensor  # (n,) float64, summing to one
    mass: float  # what the weights summed to
    uniform: bool
    source_dtype: torch.dtype  # what the user gave: half precision is computed in float32
    groups: NDArray[Any] | None  # (n,) labels

    def __init__(self, points: Any, weights: Any = None, groups: Any = None) -> None:
        parts = parts_of(points, "points")
        self._fill(parts if is_joint(points) else parts[0], weights, "weights")
        self.groups = None if groups is None else checked_groups(groups, self.n, "groups")

    def _fill(self, points: Points, weights: Any, name: str) -> None:
        first = points[0] if isinstance(points, tuple) else points
        self.source_dtype = first.dtype
        if first.dtype in (torch.float16, torch.bfloat16):
            points = tuple(p.float() for p in points) if isinstance(points, tuple) else points.float()
        self.points = points
        n = len(first)
        self.uniform = weights is None
        self.mass, self.groups = 1.0, None
        if weights is None:
            self.weights = torch.full((n,), 1.0 / n, dtype=torch.float64, device=first.device)
            return
        total = checked_weights(weights, n, first.device, name)
        self.mass = float(total.detach().sum())
        total = total / total.detach().max()  # whose sum cannot overflow
        self.weights = total / total.sum()
        self.uniform = bool((total.detach() == total.detach()[0]).all()) and not total.requires_grad

    @classmethod
    def _of(cls, points: Points, weights: Tensor | None, mass: float = 1.0, source: torch.dtype | None = None) -> Measure:
        """Build from checked tensors: `weights` None for equal ones."""
        measure = cls.__new__(cls)
        first = points[0] if isinstance(points, tuple) else points
        measure.points, measure.mass, measure.uniform, measure.groups = points, mass, weights is None, None
        measure.source_dtype = source or first.dtype
        if weights is None:
            weights = torch.full((len(first),), 1.0 / len(first), dtype=torch.float64, device=first.device)
        measure.weights = weights
        return measure

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """The tensors of a joint sample, or the one tensor: each (n, *event)."""
        return self.points if isinstance(self.points, tuple) else (self.points,)

    @property
    def n(self) -> int:
        """The number of samples."""
        return len(self.parts[0])

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the points."""
        return self.parts[0].dtype

    @property
    def device(self) -> torch.device:
        """The device of the points."""
        return self.parts[0].device

    @property
    def event_shapes(self) -> tuple[torch.Size, ...]:
        """The shape of one sample in each part."""
        return tuple(p.shape[1:] for p in self.parts)

    @property
    def flat(self) -> Tensor:
        """The points as rows: (n, d)."""
        rows = [p.reshape(len(p), -1) for p in self.parts]
        return rows[0] if len(rows) == 1 else torch.cat(rows, 1)

    @property
    def effective(self) -> float:
        """Kish's effective sample size 1 / Σ wᵢ²."""
        return self.n if self.uniform else float(1.0 / self.weights.detach().double().square().sum())

    def mean(self, values: Tensor) -> Tensor:  # values: (n, ...)
        """Return Σ wᵢ valuesᵢ, accumulated in float64."""
        return torch.einsum("i,i...->...", self.weights.double(), values.double())

    def moment(self) -> tuple[Tensor, Tensor]:
        """Return mean (d,) and second moment XᵀWX (d, d), in float64."""
        rows = self.flat.double()
        return self.mean(rows), rows.T @ (self.weights.double()[:, None] * rows)

    def take(self, index: Tensor) -> Measure:
        """Return the measure of some rows, renormalised."""
        weights = None if self.uniform else self.weights[index] / self.weights[index].sum()
        rows = self.on(*(p[index] for p in self.parts), weights=weights)
        rows.groups = None if self.groups is None else self.groups[index.numpy(force=True)]
        return rows

    def on(self, *parts: Tensor, weights: Tensor | None = None) -> Measure:
        """Return a measure of the same mass and source on other points; equal weights where none are given."""
        equal = weights is None and self.uniform and len(parts[0]) == self.n and not self.weights.is_inference()
        measure = Measure._of(
            parts if isinstance(self.points, tuple) else parts[0],
            self.weights if equal else weights,
            self.mass,
            self.source_dtype,
        )
        measure.uniform = weights is None
        return measure

    def detach(self) -> Measure:
        """Return the measure without graph, usable for training under `torch.inference_mode`."""
        measure = self.on(*map(_detached, self.parts), weights=None if self.uniform else _detached(self.weights))
        measure.groups = self.groups
        return measure

    def cat(self, other: Measure) -> Measure:
        """Return the pooled sample, every row with the same weight."""
        return self.on(*(torch.cat(pq) for pq in zip(self.parts, other.parts)))

    def __len__(self) -> int:
        return self.n

    def __repr__(self) -> str:
        shapes = " × ".join(str(tuple(s)) for s in self.event_shapes)
        return f"Measure(n={self.n}, event={shapes}, dtype={str(self.dtype).removeprefix('torch.')}, uniform={self.uniform})"


def pair(
    x: Any, y: Any, weights_x: Any = None, weights_y: Any = None, groups_x: Any = None, groups_y: Any = None
) -> tuple[Measure, Measure]:
    """Convert two sample sets to measures of one dtype, device and event shape.

    Raises
    ------
    TypeError, ValueError
        As `Measure` does, and where the two do not fit each other.
    """
    if is_frame(x) or is_frame(y):
        from divkit.data.encoding import encode  # the encoder's libraries load only for tables

        encoded = encode(x, y)
        x, y = encoded.x, encoded.y
    p, q = _measure(x, weights_x, groups_x, "x"), _measure(y, weights_y, groups_y, "y")
    if p.device != q.device:
        raise ValueError(f"x is on {p.device} and y on {q.device}; move one of them with .to(device).")
    if p.event_shapes != q.event_shapes:
        shapes = [" and ".join(str(tuple(s)) for s in m.event_shapes) for m in (p, q)]
        raise ValueError(f"A point of x has shape {shapes[0]} and a point of y {shapes[1]}; they must be the same.")
    dtype = torch.promote_types(p.dtype, q.dtype)
    p, q = (m if m.dtype == dtype else _cast(m, dtype) for m in (p, q))
    _warn_of_rounding(p, q)
    return p, q


def grouped(x: Measure, y: Measure) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """Return the groups of all rows, numbered without gaps over both samples; None where neither has any.

    Where only one sample has groups, each row of the other is one.
    """
    if x.groups is None and y.groups is None:
        return None
    labels = [m.groups for m in (x, y) if m.groups is not None]
    _, codes = np.unique(np.concatenate(labels), return_inverse=True)
    if x.groups is None or y.groups is None:
        alone = np.arange(len(codes), x.n + y.n) - len(codes) + codes.max() + 1
        codes = np.concatenate([alone, codes] if x.groups is None else [codes, alone])
    return codes[: x.n], codes[x.n :]


def _measure(data: Any, weights: Any, groups: Any, name: str) -> Measure:
    """Return one sample set as a measure; `name` is how messages call it."""
    if isinstance(data, Measure):
        for labels, what in ((weights, "weights"), (groups, "groups")):
            if labels is not None:
                raise ValueError(f"{name} is a Measure and has {what} already; {what}_{name} must be None.")
        return data
    parts = parts_of(data, name)
    measure = Measure.__new__(Measure)
    measure._fill(parts if is_joint(data) else parts[0], weights, f"weights_{name}")
    measure.groups = None if groups is None else checked_groups(groups, measure.n, f"groups_{name}")
    return measure


def _cast(m: Measure, dtype: torch.dtype) -> Measure:
    """Return the measure with points of another dtype."""
    measure = m.on(*(p.to(dtype) for p in m.parts), weights=None if m.uniform else m.weights)
    measure.groups = m.groups
    return measure


def _detached(tensor: Tensor) -> Tensor:
    """Return a tensor without graph, which may be trained on."""
    return tensor.detach().clone() if tensor.is_inference() else tensor.detach()


def _warn_of_rounding(p: Measure, q: Measure) -> None:
    """Warn where a column varies by less than a thousand times the rounding of its dtype."""
    for a, b in zip(p.parts, q.parts):
        pooled = [a.detach().reshape(len(a), -1), b.detach().reshape(len(b), -1)]
        low = torch.minimum(*(r.amin(0) for r in pooled))
        high = torch.maximum(*(r.amax(0) for r in pooled))
        rounding = torch.finfo(a.dtype).eps * torch.maximum(low.abs(), high.abs())
        spread = high.double() - low.double()
        # a constant column may have varied by less than its rounding, where that is larger than one
        least = torch.where(spread > 0, 1e-3 * spread, 1.0)
        lost = rounding.double() > least
        if bool(lost.any()):
            column = int(lost.nonzero()[0])
            caution(
                f"column {column} varies by {float(spread[column]):.3g} around {float(high[column]):.6g}, where "
                f"{str(a.dtype).removeprefix('torch.')} rounds by {float(rounding[column]):.3g}, over a thousandth of that; "
                f"subtract the offset in float64 first.",
                PrecisionWarning,
            )
