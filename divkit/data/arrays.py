"""Whatever holds numbers becomes tensors of finite reals, samples along the first axis, or is refused in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["NonFinite", "checked_groups", "checked_weights", "is_joint", "numbers_of", "parts_of", "refuse_path", "shaped"]


Samples = TypeVar("Samples", Tensor, NDArray[Any])


class NonFinite(ValueError):
    """Infinite numbers or NaN where finite ones are needed, or finite ones that overflow."""


def is_joint(data: Any) -> bool:
    """Say whether `data` is a tuple of tensors or arrays: the parts of one joint sample."""
    return isinstance(data, tuple) and len(data) > 0 and all(isinstance(p, Tensor | np.ndarray) and p.ndim > 0 for p in data)


def parts_of(data: Any, name: str) -> tuple[Tensor, ...]:
    """Return the tensors of a joint sample, or the one tensor: each (n, *event), floating, finite, of one dtype."""
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


def shaped(values: Samples, name: str) -> Samples:  # (n, *event)
    """Return samples along the first axis, (n,) as (n, 1); refuse a scalar, no samples and no features."""
    if values.ndim == 0:
        raise ValueError(f"Expected 2D array, got scalar array instead: {name}={values}. Give samples along the first axis.")
    shape = tuple(values.shape)
    for what, missing in (("sample(s)", shape[0] == 0), ("feature(s)", 0 in shape[1:])):
        if missing:
            raise ValueError(f"Found array with 0 {what} (shape={shape}) while a minimum of 1 is required: {name}.")
    return values[:, None] if values.ndim == 1 else values


def _tensor(data: Any, name: str) -> Tensor:  # -> (n, *event), floating, finite
    """Return samples as a tensor of finite numbers."""
    tensor = _dense(data, name)
    if not tensor.is_floating_point():
        tensor = tensor.to(torch.get_default_dtype())
    tensor = shaped(tensor, name)
    _refuse_nonfinite(tensor.detach(), name)
    return tensor


def _dense(data: Any, name: str) -> Tensor:
    """Return a tensor of real numbers that are in memory."""
    tensor = data if isinstance(data, Tensor) else torch.from_numpy(_array(data, name))
    if tensor.layout != torch.strided:
        raise TypeError(f"{name} is a sparse tensor; dense data are required: use .to_dense() (or .toarray()).")
    if tensor.is_complex():
        raise ValueError(f"Complex data not supported: {name} has dtype {tensor.dtype}.")
    if tensor.device.type == "meta":
        raise ValueError(f"{name} is on the meta device and holds no data; move it to a real device first.")
    return tensor


def _refuse_nonfinite(data: Tensor, name: str) -> None:
    """Refuse NaN and infinity, naming the first place."""
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


def numbers_of(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Refuse an array of complex numbers, words, dates or objects; return it otherwise."""
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} has dtype {array.dtype}.")
    if array.dtype.kind not in "fiub":
        remedy = "give a data frame to encode categories" if array.dtype.kind in "OUS" else "convert to numbers"
        raise TypeError(f"{name} has dtype {array.dtype}; numbers are required: use .astype(float), or {remedy}.")
    return array


def _array(data: Any, name: str) -> NDArray[Any]:
    """Return whatever holds numbers as an array that torch can share."""
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
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"{name} is ragged: every sample needs the same shape ({error}).") from None
    array = numbers_of(array, name)
    if array.dtype.kind == "f" and array.dtype.itemsize <= 8:
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
    else:
        array = array.astype(np.float64)
    array = np.ascontiguousarray(array).reshape(array.shape)
    return array if array.flags.writeable else array.copy()  # torch warns of arrays it could write into


def checked_weights(weights: Any, n: int, device: torch.device, name: str) -> Tensor:
    """Return weights in float64, (n,), not negative and not all zero."""
    w = _dense(weights, name).to(device=device, dtype=torch.float64)
    if w.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, one number per sample; got shape {tuple(w.shape)}.")
    if len(w) != n:
        raise ValueError(f"{name} has {len(w)} entries for {n} samples; give one weight per sample.")
    values = w.detach()
    if not bool(torch.isfinite(values).all()):
        raise ValueError(f"Input {name} contains NaN or infinity.")
    if bool((values < 0).any()):
        raise ValueError(f"{name} must not be negative; the smallest is {float(values.min()):g}.")
    if not bool((values > 0).any()):
        raise ValueError(f"{name} are all zero; at least one must be positive.")
    return w


def checked_groups(groups: Any, n: int, name: str) -> NDArray[Any]:
    """Return labels (n,), numbers or words."""
    labels = groups.numpy(force=True) if isinstance(groups, Tensor) else np.asarray(groups)
    labels = labels.astype(str) if labels.dtype.kind == "O" else labels
    if labels.shape != (n,):
        raise ValueError(f"{name} must be one label per row, shape ({n},); got shape {labels.shape}.")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError(f"Input {name} contains NaN or infinity; give every row a group.")
    return labels
