"""The door for data: what it makes of every kind of input, and every message with which it refuses."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch

import divkit as dk
from divkit.data.measure import Measure, pair

X = np.arange(12.0).reshape(6, 2) ** 1.5


@pytest.mark.parametrize(
    ("points", "kind", "message"),
    [
        (torch.eye(3).to_sparse(), TypeError, r"points is a sparse tensor; dense data are required: use .to_dense\(\)"),
        (scipy.sparse.csr_matrix(X), TypeError, r"points is a sparse matrix; .* use .toarray\(\)"),
        (torch.ones(3, 1, dtype=torch.complex64), ValueError, "Complex data not supported: points has dtype torch.complex64"),
        (X.astype(complex), ValueError, "Complex data not supported: points has dtype complex128"),
        (torch.ones(3, 1, device="meta"), ValueError, "points is on the meta device and holds no data"),
        ([torch.ones(2, device="meta")] * 3, ValueError, "points is on the meta device"),
        (torch.tensor(3.0), ValueError, "Expected 2D array, got scalar array instead: points="),
        (3.0, ValueError, "Expected 2D array, got scalar array instead"),
        (np.zeros((0, 2)), ValueError, r"Found array with 0 sample\(s\) \(shape=\(0, 2\)\) while a minimum of 1 is required"),
        ([], ValueError, r"Found array with 0 sample\(s\)"),
        (np.zeros((3, 0)), ValueError, r"Found array with 0 feature\(s\) \(shape=\(3, 0\)\) while a minimum of 1 is required"),
        ([[0.0], [np.nan], [np.nan]], ValueError, r"points contains NaN. 2 value\(s\), the first in row 1, column 0"),
        (
            torch.tensor([[0, np.inf]]),
            ValueError,
            r"infinity or a value too large for dtype\('float32'\). 1 .* row 0, column 1",
        ),
        ((row for row in X), TypeError, r"points is a generator; give a list, an array or a tensor: list\(points\)"),
        (np.ma.masked_greater(X, 5), ValueError, r"points is a masked array with masked values; drop those rows"),
        ([[1.0], [2.0, 3.0]], ValueError, "points is ragged: every sample needs the same shape"),
        (X.astype(object), TypeError, r"points has dtype object; numbers are required: use .astype\(float\)"),
        (np.array(["a", "b"]), TypeError, "points has dtype <U1; .* give a data frame to encode categories"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), TypeError, "dtype datetime64.*convert to numbers"),
        ((X, X[:5]), ValueError, "The parts of points have 6, 5 rows; a joint sample needs as many in each"),
        ((X, X.astype(str)), TypeError, r"points\[1\] has dtype"),
    ],
)
def test_points_refused(points: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        Measure(points)


@pytest.mark.parametrize(
    ("weights", "kind", "message"),
    [
        ([-1, 1, 1, 1, 1, 1], ValueError, "weights must not be negative; the smallest is -1"),
        ([np.nan, 1, 1, 1, 1, 1], ValueError, "Input weights contains NaN or infinity"),
        ([np.inf, 1, 1, 1, 1, 1], ValueError, "Input weights contains NaN or infinity"),
        (np.zeros(6), ValueError, "weights are all zero; at least one must be positive"),
        (np.ones(5), ValueError, "weights has 5 entries for 6 samples; give one weight per sample"),
        (np.ones((6, 1)), ValueError, r"weights must be one-dimensional, one number per sample; got shape \(6, 1\)"),
        (2.0, ValueError, r"weights must be one-dimensional, one number per sample; got shape \(\)"),
        (torch.ones(6).to_sparse(), TypeError, "weights is a sparse tensor"),
        (torch.ones(6, dtype=torch.complex64), ValueError, "Complex data not supported: weights"),
        (torch.ones(6, device="meta"), ValueError, "weights is on the meta device"),
        (["a"] * 6, TypeError, "weights has dtype <U1"),
    ],
)
def test_weights_refused(weights: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        Measure(X, weights)


def test_pairs_refused() -> None:
    with pytest.raises(ValueError, match=r"A point of x has shape \(2,\) and a point of y \(1,\); they must be the same"):
        pair(X, X[:, :1])
    with pytest.raises(ValueError, match="x is a Measure and has weights already; weights_x must be None"):
        pair(Measure(X), X, weights_x=np.ones(6))
    with pytest.raises(ValueError, match="weights_y has 2 entries for 6 samples"):
        pair(X, X, weights_y=[1, 1])
    with pytest.raises(ValueError, match="Input y contains NaN"):
        pair(X, X * np.nan)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a second device")
def test_devices_are_not_mixed() -> None:
    with pytest.raises(ValueError, match=r"x is on cuda:0 and y on cpu; move one of them with .to\(device\)"):
        pair(torch.ones(2, 1, device="cuda"), torch.ones(2, 1))


def read_only() -> np.ndarray:
    made = X.copy()
    made.setflags(write=False)
    return made


@pytest.mark.parametrize(
    "points",
    [
        torch.from_numpy(X),
        X.tolist(),
        tuple(map(tuple, X)),
        list(torch.from_numpy(X)),
        X[::-1][::-1],
        np.asfortranarray(X),
        X.astype(">f8"),
        X.astype(np.longdouble),
        np.ma.masked_invalid(X),
        read_only(),
        torch.from_numpy(X).T.contiguous().T,
    ],
    ids=[
        "tensor",
        "lists",
        "tuples",
        "tensors",
        "strides",
        "fortran",
        "big-endian",
        "long",
        "masked",
        "read-only",
        "transposed",
    ],
)
def test_what_is_accepted(points: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = Measure(points)
    assert torch.equal(made.flat, torch.from_numpy(X))
    assert len(made) == made.n == 6


def test_a_memory_map_is_read_without_a_warning(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(Measure(np.load(tmp_path / "x.npy", mmap_mode="r")).flat, torch.from_numpy(X))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool, np.dtype(">i2")])
def test_whole_numbers_become_the_default_float_of_their_library(dtype: Any) -> None:
    points = np.array([[0], [1], [1]]).astype(dtype)
    assert Measure(points).dtype == torch.float64
    assert Measure(points).flat.flatten().tolist() == [0.0, 1.0, 1.0]
    assert Measure(torch.from_numpy(points.astype(np.uint8))).dtype == torch.float32


def test_dtypes_are_promoted() -> None:
    assert [m.dtype for m in pair(X.astype(np.float32), X)] == [torch.float64] * 2
    assert [m.dtype for m in pair(torch.ones(2, 1).half(), torch.ones(2, 1).bfloat16())] == [torch.float32] * 2
    assert Measure((X, X.astype(np.float32))).dtype == torch.float64
    half = Measure(torch.ones(2, 1).half())
    assert (half.dtype, half.source_dtype) == (torch.float32, torch.float16)


def test_shapes() -> None:
    assert Measure(X[:, 0]).event_shapes == ((1,),)
    images = Measure(np.zeros((3, 1, 4, 4)))
    assert images.event_shapes == ((1, 4, 4),)
    assert images.flat.shape == (3, 16)
    joint = Measure((X, np.zeros((6, 3, 1))))
    assert joint.event_shapes == ((2,), (3, 1))
    assert joint.flat.shape == (6, 5)
    assert repr(joint) == "Measure(n=6, event=(2,) × (3, 1), dtype=float64, uniform=True)"


def test_weights() -> None:
    w = np.array([1.0, 2, 3, 4, 0, 0])
    made = Measure(X, w)
    assert made.mass == 10.0
    assert made.weights.dtype == torch.float64
    assert torch.allclose(made.weights, torch.from_numpy(w / 10), rtol=1e-15)
    assert made.effective == pytest.approx(100 / 30)
    assert Measure(X, np.full(6, 3.0)).uniform
    assert Measure(X).effective == 6
    huge = Measure(X, 1e308 * np.array([1.0, 1, 1, 1, 1, 0.5]))
    assert torch.allclose(huge.weights, torch.tensor([2, 2, 2, 2, 2, 1], dtype=torch.float64) / 11)
    assert torch.equal(made.mean(made.flat), made.moment()[0])
    assert torch.allclose(made.moment()[1], torch.from_numpy(X.T @ (w[:, None] / 10 * X)))
    part = made.take(torch.tensor([0, 1]))
    assert torch.allclose(part.weights, torch.tensor([1, 2], dtype=torch.float64) / 3)


def test_pooling_and_detaching() -> None:
    p = Measure(torch.from_numpy(X).requires_grad_(), torch.rand(6, requires_grad=True))
    assert not p.detach().flat.requires_grad
    assert not p.detach().weights.requires_grad
    assert p.cat(p).n == 12
    assert p.cat(p).uniform
    with torch.inference_mode():
        made = Measure(torch.ones(3, 1), torch.tensor([1.0, 2.0, 3.0])), Measure(torch.ones(3, 1))
    for inside in (m.detach() for m in made):
        assert not any(t.is_inference() for t in (*inside.parts, inside.weights))


def test_rounding_is_warned_of() -> None:
    y = torch.randn(50, 2)
    for offset, spread, column in ((1e8, 1e3, 1), (1e8, 1e-3, 1)):  # the second is constant in float32
        x = y.clone()
        x[:, column] = offset + spread * x[:, column]
        with pytest.warns(dk.PrecisionWarning, match=f"column {column} varies by .* around 1.*e.08, where float32 rounds by"):
            pair(x, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pair((1e8 + 1e-3 * y.double()), y.double() + 1e8)
        pair(torch.ones(3, 1), torch.ones(3, 1))
        pair(y + 1000, y + 1000)
