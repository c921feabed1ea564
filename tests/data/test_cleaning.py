"""Missing values, units and arrays: pooled divisors by hand, at any scale, and refusals that say where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from divkit.data.encoding import Missing, Scale, encode

NAN = float("nan")


def test_scale_by_pooled_standard_deviation() -> None:
    e = encode(pd.DataFrame({"a": [0.0, 0.0, 0.0], "w": list("uvw")}), pd.DataFrame({"a": [4.0], "w": ["u"]}), scale=Scale.SD)
    np.testing.assert_allclose(e.x[:, 0], 0)
    np.testing.assert_allclose(e.y[0, 0], 4 / np.sqrt(3.0))  # mean 1, variance (1 + 1 + 1 + 9) / 4
    np.testing.assert_allclose(np.linalg.norm(e.x[0, 1:] - e.x[1, 1:]), 1)
    assert "pooled" in e.scale and "standard deviation" in e.scale


def test_scale_by_median_absolute_deviation() -> None:
    x, y = pd.DataFrame({"a": [1.0, 2.0, 3.0]}), pd.DataFrame({"a": [4.0, 1e6]})
    e = encode(x, y, scale=Scale.MAD)  # median 3, deviations 2 1 0 1 and a large one: median 1
    np.testing.assert_allclose(e.x[:, 0], np.array([1, 2, 3]) / 1.482602218505602)
    assert "median absolute deviation" in e.scale


def test_median_absolute_deviation_zero_falls_back() -> None:
    e = encode(pd.DataFrame({"a": [0.0, 0.0, 0.0]}), pd.DataFrame({"a": [2.0]}), scale=Scale.MAD)
    np.testing.assert_allclose(e.y, 2 / np.sqrt(0.75))
    assert e.notes == ("column 'a' has median absolute deviation 0: divided by its standard deviation instead",)


def test_constant_column_is_left() -> None:
    e = encode(pd.DataFrame({"a": [7.0, 7.0]}), pd.DataFrame({"a": [7.0]}), scale=Scale.SD)
    assert (e.x == 7).all()
    assert e.notes == ("column 'a' is constant: left as it is",)


@pytest.mark.parametrize("factor", [1e200, 1e-200, 3e-310])
@pytest.mark.parametrize("scale", [Scale.SD, Scale.MAD])
def test_scale_is_equivariant_where_squares_overflow(factor: float, scale: Scale) -> None:
    values = np.array([[1.0], [2.0], [4.0], [8.0]])
    plain, huge = (encode(v, v[:2], scale=scale) for v in (values, values * factor))
    np.testing.assert_allclose(plain.x, huge.x, rtol=1e-12)


def test_arrays_share_the_rules() -> None:
    x, y = np.array([[0.0, 1.0], [NAN, 2.0], [0.0, 3.0]]), np.array([[4.0, 1.0], [0.0, 1.0]])
    e = encode(x, y, missing=Missing.DROP, scale=Scale.SD)
    assert e.dropped == (1, 0)
    assert e.names == e.source == ("column 1", "column 2")
    assert e.notes == ("x: 1 of 3 rows dropped for missing values",)
    np.testing.assert_allclose(np.concatenate([e.x, e.y]).std(0), 1)


def test_images_pass_unchanged() -> None:
    x = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    e = encode(x, x)
    assert e.x is x
    assert e.names == ()


def test_one_dimensional_arrays_are_columns() -> None:
    assert encode(np.arange(3.0), np.arange(2)).x.shape == (3, 1)


def test_inputs_are_not_written() -> None:
    x = np.array([[1.0, 2.0], [3.0, 5.0]])
    x.flags.writeable = False
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    encode(x, x, scale=Scale.SD)
    encode(frame, frame, scale=Scale.MAD)
    assert frame["a"].tolist() == [1, 2]


REFUSED: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "overflow": (np.array([[1e300], [2e-20], [3e-20]]), np.zeros((2, 1)), {"scale": Scale.MAD}, "cannot be divided by its mad"),
    "columns of arrays": (np.ones((2, 2)), np.ones((2, 2)), {"columns": ["a"]}, "by name; x and y are arrays"),
    "widths": (np.ones((2, 2)), np.ones((2, 3)), {}, r"x has shape \(2, 2\) and y \(2, 3\)"),
    "scaled images": (np.ones((2, 2, 2)), np.ones((2, 2, 2)), {"scale": Scale.SD}, "scale=sd needs matrices, got x of shape"),
    "array NaN": (np.ones((1, 2)), np.array([[0, 1], [2, NAN]]), {}, "y: Input contains NaN. 1 .*row 1 .*'column 2'"),
    "array inf": (np.array([[np.inf]], np.float32), np.ones((1, 1)), {}, r"x: Input contains infinity .*dtype\('float32'\)"),
    "array without rows": (np.ones((0, 2)), np.ones((1, 2)), {}, r"Found array with 0 sample\(s\) \(shape=\(0, 2\)\) .*: x"),
    "integers without rows": (np.ones((0, 2), int), np.ones((1, 2)), {}, r"Found array with 0 sample\(s\) .*: x"),
    "array without columns": (np.ones((3, 0)), np.ones((1, 2)), {}, r"Found array with 0 feature\(s\) \(shape=\(3, 0\)\).*x"),
    "scalar": (np.array(1.0), np.ones(2), {}, "Expected 2D array, got scalar array instead: x=1.0"),
    "complex": (np.ones((2, 2), complex), np.ones((2, 2)), {}, "Complex data not supported: x has dtype complex128"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    x, y, options, message = REFUSED[case]
    with pytest.raises(ValueError, match=message) as caught:
        encode(x, y, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.array([["a"]]), "x has dtype <U1; numbers are required"),
        (np.array([[None]]), "x has dtype object; numbers are required"),
        (np.array(["2020-01-01"], "M8[D]"), r"x has dtype datetime64\[D\]; numbers are required"),
    ],
)
def test_arrays_of_no_numbers(x: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        encode(x, np.ones((1, 1)))


@pytest.mark.parametrize("scale", list(Scale))
def test_units_undo_the_scale(scale: Scale) -> None:
    x, y = (
        pd.DataFrame({"a": [1.0, 5.0, 2.0], "w": list("uvw"), "c": [7, 7, 7]}),
        pd.DataFrame({"a": [3.0], "w": ["u"], "c": [7]}),
    )
    e, plain = (encode(x, y, scale=chosen) for chosen in (scale, Scale.NONE))
    np.testing.assert_allclose(e.x * np.array(e.units), plain.x, rtol=1e-14)
