"""The door for data: whatever users hold becomes two empirical measures, or is refused in words."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
        parts = _parts(points, "points")
        self._fill(parts if _is_joint(points) else parts[0], weights, "weights")
        self.groups = None if groups is None else _groups(groups, self.n, "groups")

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
        total = _weights(weights, n, first.device, name)
        self.mass = float(total.detach().sum())
        total = total / total.detach().max()  # whose sum cannot overflow
        self.weights = total / total.sum()
        self.uniform = bool((total.detach() == total.detach()[0]).all()) and not total.requires_grad

    @classmethod
    def _of(cls, points: Points, weights: Tensor | None, mass: float = 1.0, source: torch.dtype | None = None) -> Measure:
        """Build from checked tensors: `weights` None for equal ones."""
        made = cls.__new__(cls)
        first = points[0] if isinstance(points, tuple) else points
        made.points, made.mass, made.uniform, made.groups = points, mass, weights is None, None
        made.source_dtype = source or first.dtype
        if weights is None:
            weights = torch.full((len(first),), 1.0 / len(first), dtype=torch.float64, device=first.device)
        made.weights = weights
        return made

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """The tensors of a joint sample, or the one tensor: each (n, *event)."""
        return self.points if isinstance(self.points, tuple) else (self.points,)

    @property
    def n(self) -> int:
        return len(self.parts[0])

    @property
    def dtype(self) -> torch.dtype:
        return self.parts[0].dtype

    @property
    def device(self) -> torch.device:
        return self.parts[0].device

    @property
    def event_shapes(self) -> tuple[torch.Size, ...]:
        return tuple(p.shape[1:] for p in self.parts)

    @property
    def flat(self) -> Tensor:
        """Points as rows: (n, d)."""
        rows = [p.reshape(len(p), -1) for p in self.parts]
        return rows[0] if len(rows) == 1 else torch.cat(rows, 1)

    @property
    def effective(self) -> float:
        """Kish's effective sample size 1 / Σ wᵢ²."""
        return self.n if self.uniform else float(1.0 / self.weights.detach().double().square().sum())

    def mean(self, values: Tensor) -> Tensor:  # values: (n, ...)
        """Σ wᵢ valuesᵢ, accumulated in float64."""
        return torch.einsum("i,i...->...", self.weights.double(), values.double())

    def moment(self) -> tuple[Tensor, Tensor]:
        """Mean (d,) and second moment XᵀWX (d, d), in float64."""
        rows = self.flat.double()
        return self.mean(rows), rows.T @ (self.weights.double()[:, None] * rows)

    def take(self, index: Tensor) -> Measure:
        """The measure of some rows, renormalised."""
        weights = None if self.uniform else self.weights[index] / self.weights[index].sum()
        made = self.on(*(p[index] for p in self.parts), weights=weights)
        made.groups = None if self.groups is None else self.groups[index.numpy(force=True)]
        return made

    def on(self, *parts: Tensor, weights: Tensor | None = None) -> Measure:
        """The same kind of measure on other points."""
        return Measure._of(parts if isinstance(self.points, tuple) else parts[0], weights, self.mass, self.source_dtype)

    def detach(self) -> Measure:
        """Without graph, and usable for training under `torch.inference_mode`."""
        made = self.on(*map(_detached, self.parts), weights=None if self.uniform else _detached(self.weights))
        made.groups = self.groups
        return made

    def cat(self, other: Measure) -> Measure:
        """The pooled sample, every row with the same weight."""
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
    if _is_frame(x) or _is_frame(y):
        from divkit.tables import encode  # the encoder's libraries load only for tables

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
    """The groups of all rows, numbered without gaps over both samples; None where neither has any.

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
    if isinstance(data, Measure):
        for given, what in ((weights, "weights"), (groups, "groups")):
            if given is not None:
                raise ValueError(f"{name} is a Measure and has {what} already; {what}_{name} must be None.")
        return data
    parts = _parts(data, name)
    made = Measure.__new__(Measure)
    made._fill(parts if _is_joint(data) else parts[0], weights, f"weights_{name}")
    made.groups = None if groups is None else _groups(groups, made.n, f"groups_{name}")
    return made


def _cast(m: Measure, dtype: torch.dtype) -> Measure:
    made = m.on(*(p.to(dtype) for p in m.parts), weights=None if m.uniform else m.weights)
    made.groups = m.groups
    return made


def _detached(tensor: Tensor) -> Tensor:
    return tensor.detach().clone() if tensor.is_inference() else tensor.detach()


def _is_joint(data: Any) -> bool:
    return isinstance(data, tuple) and len(data) > 0 and all(isinstance(p, Tensor | np.ndarray) and p.ndim > 0 for p in data)


def _is_frame(data: Any) -> bool:
    return not isinstance(data, Tensor | np.ndarray | Measure) and hasattr(data, "columns")


def _parts(data: Any, name: str) -> tuple[Tensor, ...]:
    if not _is_joint(data):
        return (_tensor(data, name),)
    parts = tuple(_tensor(part, f"{name}[{i}]") for i, part in enumerate(data))
    if len({len(p) for p in parts}) > 1:
        raise ValueError(
            f"The parts of {name} have {', '.join(str(len(p)) for p in parts)} rows; a joint sample needs as many in each."
        )
    dtype = parts[0].dtype
    for p in parts[1:]:
        dtype = torch.promote_types(dtype, p.dtype)
    return tuple(p.to(dtype) for p in parts)


def _tensor(data: Any, name: str) -> Tensor:  # -> (n, *event), floating, finite
    made = _dense(data, name)
    if not made.is_floating_point():
        made = made.to(torch.get_default_dtype())
    if made.ndim == 0:
        raise ValueError(f"Expected 2D array, got scalar array instead: {name}={data}. Give samples along the first axis.")
    if len(made) == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={tuple(made.shape)}) while a minimum of 1 is required: {name}.")
    made = made[:, None] if made.ndim == 1 else made
    if made.numel() == 0:
        raise ValueError(f"Found array with 0 feature(s) (shape={tuple(made.shape)}) while a minimum of 1 is required: {name}.")
    _refuse_nonfinite(made.detach(), name)
    return made


def _dense(data: Any, name: str) -> Tensor:
    """A tensor of real numbers that are in memory."""
    made = data if isinstance(data, Tensor) else torch.from_numpy(_array(data, name))
    if made.layout != torch.strided:
        raise TypeError(f"{name} is a sparse tensor; dense data are required: use .to_dense() (or .toarray()).")
    if made.is_complex():
        raise ValueError(f"Complex data not supported: {name} has dtype {made.dtype}.")
    if made.device.type == "meta":
        raise ValueError(f"{name} is on the meta device and holds no data; move it to a real device first.")
    return made


def _refuse_nonfinite(data: Tensor, name: str) -> None:
    if bool(torch.isfinite(data).all()):
        return
    bad = torch.isnan(data)
    nan = bool(bad.any())
    what = "NaN" if nan else f"infinity or a value too large for dtype({str(data.dtype).removeprefix('torch.')!r})"
    where = (bad if nan else torch.isinf(data)).reshape(len(data), -1).nonzero()
    row, column = where[0].tolist()
    raise ValueError(
        f"Input {name} contains {what}. {len(where)} value(s), the first in row {row}, column {column}; "
        f"drop or replace them first (divkit compare --missing drop drops such rows)."
    )


def _array(data: Any, name: str) -> np.ndarray[Any, np.dtype[Any]]:
    if hasattr(data, "toarray") and hasattr(data, "nnz"):
        raise TypeError(f"{name} is a sparse matrix; dense data are required: use .toarray().")
    if isinstance(data, Iterator):
        raise TypeError(f"{name} is a {type(data).__name__}; give a list, an array or a tensor: list({name}).")
    if isinstance(data, np.ma.MaskedArray):
        if np.ma.getmaskarray(data).any():
            raise ValueError(f"{name} is a masked array with masked values; drop those rows or use .filled(...) first.")
        data = data.data
    if isinstance(data, Sequence) and not isinstance(data, str) and any(isinstance(p, Tensor) for p in data):
        return _dense(torch.stack([torch.as_tensor(p) for p in data]), name).numpy(force=True)
    try:
        made = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"{name} is ragged: every sample needs the same shape ({error}).") from None
    if made.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} has dtype {made.dtype}.")
    if made.dtype.kind not in "fiub":
        remedy = "give a data frame to encode categories" if made.dtype.kind in "OUS" else "convert to numbers"
        raise TypeError(f"{name} has dtype {made.dtype}; numbers are required: use .astype(float), or {remedy}.")
    if made.dtype.kind == "f" and made.dtype.itemsize <= 8:
        made = made.astype(made.dtype.newbyteorder("="), copy=False)
    else:
        made = made.astype(np.float64)
    made = np.ascontiguousarray(made).reshape(made.shape)
    return made if made.flags.writeable else made.copy()  # torch warns of arrays it could write into


def _weights(weights: Any, n: int, device: torch.device, name: str) -> Tensor:
    made = _dense(weights, name).to(device=device, dtype=torch.float64)
    if made.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, one number per sample; got shape {tuple(made.shape)}.")
    if len(made) != n:
        raise ValueError(f"{name} has {len(made)} entries for {n} samples; give one weight per sample.")
    held = made.detach()
    if not bool(torch.isfinite(held).all()):
        raise ValueError(f"Input {name} contains NaN or infinity.")
    if bool((held < 0).any()):
        raise ValueError(f"{name} must not be negative; the smallest is {float(held.min()):g}.")
    if not bool((held > 0).any()):
        raise ValueError(f"{name} are all zero; at least one must be positive.")
    return made


def _groups(groups: Any, n: int, name: str) -> NDArray[Any]:  # -> (n,)
    made = groups.numpy(force=True) if isinstance(groups, Tensor) else np.asarray(groups)
    made = made.astype(str) if made.dtype.kind == "O" else made
    if made.shape != (n,):
        raise ValueError(f"{name} must be one label per row, shape ({n},); got shape {made.shape}.")
    if made.dtype.kind == "f" and not np.isfinite(made).all():
        raise ValueError(f"Input {name} contains NaN or infinity; give every row a group.")
    return made


def _warn_of_rounding(p: Measure, q: Measure) -> None:
    for a, b in zip(p.parts, q.parts):
        pooled = [a.detach().reshape(len(a), -1), b.detach().reshape(len(b), -1)]
        low = torch.minimum(*(r.amin(0) for r in pooled))
        high = torch.maximum(*(r.amax(0) for r in pooled))
        rounding = torch.finfo(a.dtype).eps * torch.maximum(low.abs(), high.abs())
        spread = high.double() - low.double()
        least = torch.where(spread > 0, 1e-3 * spread, 1.0)  # a constant may have varied by less than a large rounding
        lost = rounding.double() > least
        if bool(lost.any()):
            column = int(lost.nonzero()[0])
            warnings.warn(
                f"column {column} varies by {float(spread[column]):.3g} around {float(high[column]):.6g}, where "
                f"{str(a.dtype).removeprefix('torch.')} rounds by {float(rounding[column]):.3g}, over a thousandth of that; "
                f"subtract the offset in float64 first.",
                PrecisionWarning,
                stacklevel=4,
            )
