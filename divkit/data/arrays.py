"""Whatever holds numbers becomes tensors of finite reals, samples along the first axis, or is refused in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["NonFinite", "checked_groups", "checked_weights", "is_joint", "parts_of", "refuse_path"]


class NonFinite(ValueError):
    """Infinite numbers or NaN where finite ones are needed, or finite ones that overflow."""


def is_joint(data: Any) -> bool:
    """Whether `data` is a tuple of tensors or arrays: the parts of one joint sample."""
    return isinstance(data, tuple) and len(data) > 0 and all(isinstance(p, Tensor | np.ndarray) and p.ndim > 0 for p in data)


def parts_of(data: Any, name: str) -> tuple[Tensor, ...]:
    """The tensors of a joint sample, or the one tensor: each (n, *event), floating, finite, of one dtype."""
    if not is_joint(data):
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


def refuse_path(data: Any, name: str) -> None:
    """Refuse a file name where samples are wanted."""
    if isinstance(data, str | PurePath):
        raise TypeError(
            f"{name} is the text {str(data)!r}; samples are wanted: read a file first (pandas.read_csv, numpy.load), or "
            f"compare two by `divkit compare P Q` on the command line."
        )


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
    if math.isfinite(float(data.sum())) or bool(torch.isfinite(data).all()):  # a sum of finite numbers may overflow
        return
    bad = torch.isnan(data)
    nan = bool(bad.any())
    what = "NaN" if nan else f"infinity or a value too large for dtype({str(data.dtype).removeprefix('torch.')!r})"
    where = (bad if nan else torch.isinf(data)).reshape(len(data), -1).nonzero()
    row, column = where[0].tolist()
    raise NonFinite(
        f"Input {name} contains {what}. {len(where)} value(s), the first in row {row}, column {column}; "
        f"drop or replace them first (divkit compare --missing drop drops such rows)."
    )


def _array(data: Any, name: str) -> np.ndarray[Any, np.dtype[Any]]:
    refuse_path(data, name)
    if hasattr(data, "toarray") and hasattr(data, "nnz"):
        raise TypeError(f"{name} is a sparse matrix; dense data are required: use .toarray().")
    if isinstance(data, Iterator):
        raise TypeError(f"{name} is a {type(data).__name__}; give a list, an array or a tensor: list({name}).")
    if isinstance(data, np.ma.MaskedArray):
        if np.ma.getmaskarray(data).any():
            raise ValueError(f"{name} is a masked array with masked values; drop those rows or use .filled(...) first.")
        data = data.data
    if isinstance(data, Sequence) and any(isinstance(p, Tensor) for p in data):
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


def checked_weights(weights: Any, n: int, device: torch.device, name: str) -> Tensor:
    """Weights in float64, (n,), not negative and not all zero."""
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


def checked_groups(groups: Any, n: int, name: str) -> NDArray[Any]:
    """Labels, (n,): numbers or words."""
    made = groups.numpy(force=True) if isinstance(groups, Tensor) else np.asarray(groups)
    made = made.astype(str) if made.dtype.kind == "O" else made
    if made.shape != (n,):
        raise ValueError(f"{name} must be one label per row, shape ({n},); got shape {made.shape}.")
    if made.dtype.kind == "f" and not np.isfinite(made).all():
        raise ValueError(f"Input {name} contains NaN or infinity; give every row a group.")
    return made
