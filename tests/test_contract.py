"""One contract for every registered name: `traits` says which laws it obeys."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from traits import TRAITS, Traits, samples, weights

import divkit as dk
from divkit.data.measure import pair
from divkit.pairs import block_size

EXACT = [name for name, traits in TRAITS.items() if not traits.learned]
LEARNED = [name for name, traits in TRAITS.items() if traits.learned]
FOLLOWING = ("bandwidth", "epsilon", "tol")  # fields whose default follows the scale of the data


def build(name: str) -> dk.Divergence:
    return dk.get(name, **TRAITS[name].fields)


def by_default(name: str) -> dk.Divergence:
    """The divergence with the defaults that follow the scale of the data."""
    return dk.get(name, **{key: value for key, value in TRAITS[name].fields.items() if key not in FOLLOWING})


def value(divergence: dk.Divergence, x: object, y: object) -> float:
    return divergence.estimate(x, y).value


def gradient(divergence: dk.Divergence, x: Tensor, y: Tensor) -> tuple[float, Tensor]:
    """The loss and its gradient in x, which y may be as well."""
    points = x.clone().requires_grad_()
    loss = divergence.loss(points, points if y is x else y)
    return float(loss.detach()), torch.autograd.grad(loss, points)[0]


def where(law: str, names: list[str] = EXACT) -> list[str]:
    return [name for name in names if getattr(TRAITS[name], law) not in (False, None)]


def test_every_name_has_traits() -> None:
    assert set(dk.names()) == set(TRAITS)


@pytest.mark.parametrize("name", EXACT)
def test_value_equals_the_oracle(name: str) -> None:
    x, y = samples()
    w, v = torch.full((30,), 1 / 30, dtype=torch.float64), torch.full((45,), 1 / 45, dtype=torch.float64)
    truth = TRAITS[name].oracle(x.numpy(), y.numpy(), w.numpy(), v.numpy())
    assert value(build(name), x, y) == pytest.approx(truth, rel=TRAITS[name].tolerance)


@pytest.mark.parametrize("name", where("weights"))
def test_weighted_value_equals_the_oracle(name: str) -> None:
    x, y = samples()
    w, v = weights(30), weights(45, 2)
    truth = TRAITS[name].oracle(x.numpy(), y.numpy(), (w / w.sum()).numpy(), (v / v.sum()).numpy())
    assert value(build(name), dk.Measure(x, w), dk.Measure(y, v)) == pytest.approx(truth, rel=TRAITS[name].tolerance)


@pytest.mark.parametrize("name", EXACT)
def test_loss_equals_the_estimate_and_the_sum_of_influences(name: str) -> None:
    x, y = samples()
    e = build(name).estimate(x, y)
    a, b = e.influence
    assert float(build(name).loss(x, y)) == pytest.approx(e.value, rel=1e-9)
    assert float(a.mean() + b.mean()) == pytest.approx(e.value, rel=1e-9)
    assert e.stderr > 0
    assert e.converged


@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize("name", EXACT)
def test_gradient_in_points_is_that_of_finite_differences(name: str, weighted: bool) -> None:
    """At the solution found for the unmoved points, which the envelope theorem says is enough."""
    if weighted and not TRAITS[name].weights:
        x = torch.zeros(10, 1)
        with pytest.raises(ValueError, match="takes no weights"):
            build(name).estimate(dk.Measure(x, torch.arange(10.0)), x)
        return
    x, y = samples(12, 15)
    w, v = (weights(12), weights(15, 2)) if weighted else (None, None)
    divergence = build(name)
    moves = torch.randn(12, 3, dtype=torch.float64), torch.randn(15, 3, dtype=torch.float64)
    with torch.no_grad():
        solution = divergence.solve(*pair(dk.Measure(x, w), dk.Measure(y, v)))
    px, py = x.clone().requires_grad_(), y.clone().requires_grad_()
    gx, gy = torch.autograd.grad(divergence.loss(dk.Measure(px, w), dk.Measure(py, v), solution), (px, py))
    step = 1e-5

    def moved(t: float) -> float:
        return float(divergence.loss(dk.Measure(x + t * moves[0], w), dk.Measure(y + t * moves[1], v), solution))

    slope = (moved(step) - moved(-step)) / (2 * step)
    assert float((gx * moves[0]).sum() + (gy * moves[1]).sum()) == pytest.approx(slope, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", where("envelope"))
def test_gradient_at_the_solution_is_that_of_the_solved_value(name: str) -> None:
    x, y = samples(12, 15)
    divergence = build(name)
    move = torch.randn(12, 3, dtype=torch.float64)
    px = x.clone().requires_grad_()
    (gx,) = torch.autograd.grad(divergence.loss(px, y), px)
    slope = (value(divergence, x + 1e-5 * move, y) - value(divergence, x - 1e-5 * move, y)) / 2e-5
    assert float((gx * move).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("name", where("weights"))
def test_gradient_in_weights_is_that_of_finite_differences(name: str) -> None:
    x, y = samples(12, 15)
    w = weights(12).requires_grad_()
    move = torch.randn(12, dtype=torch.float64)
    divergence = build(name)
    (gw,) = torch.autograd.grad(divergence.loss(dk.Measure(x, w), y), w)
    w = w.detach()
    up, down = (value(divergence, dk.Measure(x, w + t * move), y) for t in (1e-5, -1e-5))
    assert float((gw * move).sum()) == pytest.approx((up - down) / 2e-5, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("name", where("weights"))
def test_zero_weight_is_absence(name: str) -> None:
    x, y = samples()
    w, v = weights(30), weights(45, 2)
    w[::4], v[1::5] = 0.0, 0.0
    whole = by_default(name).estimate(dk.Measure(x, w), dk.Measure(y, v))
    present = by_default(name).estimate(dk.Measure(x[w > 0], w[w > 0]), dk.Measure(y[v > 0], v[v > 0]))
    assert whole.value == pytest.approx(present.value, rel=1e-6)
    assert whole.stderr == pytest.approx(present.stderr, rel=0.1)


@pytest.mark.parametrize("name", where("weights"))
def test_only_the_ratios_of_weights_count(name: str) -> None:
    x, y = samples()
    w, divergence = weights(30), by_default(name)
    once = divergence.estimate(dk.Measure(x, w), y)
    assert value(divergence, dk.Measure(x, 1e307 * w), y) == pytest.approx(once.value, rel=1e-12)  # whose sum overflows
    assert "both were normalised to one" in once.notes["mass"]
    single = (w / w.sum()).float() * (1 + 1e-6)  # whose sum is one but for rounding
    rounded = divergence.estimate(dk.Measure(x, single), y)
    assert rounded.value == value(divergence, dk.Measure(x, single.double()), y)
    assert "mass" not in rounded.notes


@pytest.mark.parametrize("name", where("duplication"))
def test_duplication_is_double_weight(name: str) -> None:
    x, y = samples()
    double = torch.ones(30, dtype=torch.float64)
    double[:7] = 2.0
    assert value(build(name), torch.cat([x, x[:7]]), y) == pytest.approx(value(build(name), dk.Measure(x, double), y), rel=1e-7)


@pytest.mark.parametrize("name", ["energy", "cramer", "mmd", "mmd-laplace", "mmd-imq", "mmd-fourier", "kid"])
def test_duplication_is_double_weight_for_v_statistics(name: str) -> None:
    divergence = replace(build(name), unbiased=False)
    x, y = samples()
    double = torch.ones(30, dtype=torch.float64)
    double[:7] = 2.0
    assert value(divergence, torch.cat([x, x[:7]]), y) == pytest.approx(value(divergence, dk.Measure(x, double), y), rel=1e-9)
    for other in (x, x[torch.randperm(30)]):
        assert value(divergence, x, other) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", EXACT)
def test_rows_may_be_permuted(name: str) -> None:
    x, y = samples()
    assert value(build(name), x.flip(0), y[torch.randperm(45)]) == pytest.approx(value(build(name), x, y), rel=1e-8)


@pytest.mark.parametrize("name", where("translation"))
def test_translation_changes_nothing(name: str) -> None:
    x, y = samples()
    assert value(build(name), x + 1e3, y + 1e3) == pytest.approx(value(build(name), x, y), rel=1e-8)


DEGREES = {"sinkhorn": 2.0, "entropic-ot": 2.0, "mmd": 0.0, "mmd-laplace": 0.0}  # where defaults follow the data
DEGREES |= {name: degree for name in EXACT if (degree := TRAITS[name].degree) is not None}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("scale", [2.0**99, 2.0**-99, 2.0**664, 2.0**-664, 2.0**-1030, 1e30, 1e-30])
@pytest.mark.parametrize("name", DEGREES)
def test_values_and_errors_scale_exactly_or_are_refused(name: str, scale: float, dtype: torch.dtype) -> None:
    """Nothing is infinite, zero or NaN because of the units that the data are in."""
    limits, degree, divergence = torch.finfo(dtype), DEGREES[name], by_default(name)
    if not limits.smallest_normal / 1e3 < scale < limits.max / 1e3:
        return
    x, y = ((scale * points).to(dtype) for points in samples())
    plain = divergence.estimate(x.double() / scale, y.double() / scale)
    if not -1022 <= degree * max(math.log2(scale), -1022) < 1020:
        with pytest.raises(ValueError, match="over- or underflows; divide the data by a constant first"):
            divergence.estimate(x, y)
        return
    e = divergence.estimate(x, y)
    exact = dtype == torch.float64 and scale > 1e-300
    tolerance = 1e-10 if exact and name not in ("sinkhorn", "entropic-ot") else 1e-9 if exact else 3e-5
    assert e.value / scale**degree == pytest.approx(plain.value, rel=tolerance)
    assert e.stderr / scale**degree == pytest.approx(plain.stderr, rel=max(tolerance, 1e-3 * (not exact)))
    low, high = e.ci()
    assert low < e.value < high
    if abs(e.value) > limits.max:
        with pytest.raises(ValueError, match=r"overflows torch.float32; divide the data by a constant first"):
            divergence.loss(x, y)
    else:
        assert math.isfinite(float(divergence.loss(x, y)))


@pytest.mark.parametrize("name", DEGREES)
def test_an_offset_in_float32_costs_no_digits_of_the_value(name: str) -> None:
    x, y = samples()
    expected = value(by_default(name), x, y)
    assert value(by_default(name), (x + 1000).float(), (y + 1000).float()) == pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize("name", where("symmetric"))
def test_symmetry(name: str) -> None:
    x, y = samples()
    forward, back = build(name).estimate(x, y), build(name).estimate(y, x)
    assert back.value == pytest.approx(forward.value, rel=1e-8)
    assert back.stderr == pytest.approx(forward.stderr, rel=0.1)  # a dual need not be unique


@pytest.mark.parametrize("name", EXACT)
def test_equal_samples_have_finite_gradients_and_no_distance(name: str) -> None:
    x, _ = samples()
    for y in (x, x.flip(0)):
        distance, slope = gradient(by_default(name), x, y)
        assert bool(slope.isfinite().all())
        assert abs(distance) <= 1e-12 or not TRAITS[name].zero_at_equal


@pytest.mark.parametrize("name", EXACT)
def test_float32_agrees_with_float64(name: str, device: torch.device) -> None:
    x, y = samples()
    divergence = replace(build(name), tol=1e-5) if hasattr(build(name), "tol") else build(name)
    single = divergence.estimate(x.float().to(device), y.float().to(device))
    assert single.value == pytest.approx(value(divergence, x, y), rel=2e-4)
    assert divergence.loss(x.float(), y.float()).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", EXACT)
def test_half_precision_is_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    x, y = (s.to(dtype) for s in samples())
    divergence = replace(build(name), tol=1e-4) if hasattr(build(name), "tol") else build(name)
    expected = value(divergence, x.float(), y.float())
    assert value(divergence, x, y) == expected
    loss = divergence.loss(x, y)
    assert loss.dtype == dtype
    assert float(loss) == pytest.approx(expected, rel=2 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("name", EXACT)
def test_mixed_precisions_are_computed_in_the_wider(name: str) -> None:
    x, y = samples()
    expected = value(by_default(name), x.float().double(), y)
    for narrow, wide in ((x.float(), y), (x.float().numpy(), y), (x.float().tolist(), y.numpy())):
        assert value(by_default(name), narrow, wide) == pytest.approx(expected, rel=1e-12)
    assert by_default(name).loss(x.float(), y).dtype == torch.float64


@pytest.mark.parametrize("name", EXACT)
def test_a_second_call_changes_nothing_and_the_block_size_rounding_only(name: str) -> None:
    x, y = samples()
    whole, again = build(name).estimate(x, y), build(name).estimate(x, y)
    assert (again.value, again.stderr) == (whole.value, whole.stderr)
    px = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(build(name).loss(px, y), px)
    with block_size(7):
        parts = build(name).estimate(x, y)
        (tiled,) = torch.autograd.grad(build(name).loss(px, y), px)
    assert parts.value == pytest.approx(whole.value, rel=1e-8)
    assert parts.stderr == pytest.approx(whole.stderr, rel=1e-6)
    assert torch.allclose(gradient, tiled, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("name", EXACT)
def test_coincident_and_constant_points_have_finite_values_and_gradients(name: str) -> None:
    for x, y in ((torch.zeros(8, 2), torch.zeros(9, 2)), (torch.ones(8, 2), torch.arange(18.0).reshape(9, 2) % 3)):
        px = x.clone().requires_grad_()
        loss = build(name).loss(px, y)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(px.grad).all()


@pytest.mark.parametrize("name", EXACT)
def test_data_of_one_number_are_at_no_distance(name: str) -> None:
    x, y = torch.full((9, 3), 0.3).double(), torch.full((8, 3), 0.3).double()
    distance, slope = gradient(by_default(name), x, y)
    assert abs(distance) <= 1e-6
    assert bool(slope.isfinite().all())
    e = by_default(name).estimate(x, y)
    assert e.stderr == pytest.approx(0.0, abs=1e-6) or name.endswith("-knn")  # ties are counted, not measured


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*EXACT, "kl"])
def test_inputs_generators_and_modes_are_left_alone(name: str) -> None:
    """By an estimate, a loss, a criterion, and by a test where it takes no long."""
    divergence = by_default(name) if name != "kl" else dk.get("kl", folds=2, steps=25)
    x, y = (points.numpy() for points in samples())
    before = x.tobytes(), y.tobytes(), torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    divergence.estimate(x, y)
    divergence.loss(x, y)
    dk.Criterion(divergence)(x, y)
    if name not in ("sinkhorn", "entropic-ot"):
        dk.test(divergence, x[:12], y[:12], permutations=20)
    assert (x.tobytes(), y.tobytes()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert np.array_equal(np.random.get_state()[1], before[3])  # noqa: NPY002
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("name", ["w1", "w2", "sinkhorn", "entropic-ot", "energy", "mmd-laplace"])
def test_an_event_may_have_any_shape(name: str) -> None:
    x, y = samples(d=4)
    assert value(build(name), x.reshape(30, 1, 2, 2), y.reshape(45, 1, 2, 2)) == pytest.approx(
        value(build(name), x, y), rel=1e-12
    )
    joint = value(build(name), (x[:, :1], x[:, 1:].reshape(30, 3, 1)), (y[:, :1], y[:, 1:].reshape(45, 3, 1)))
    assert joint == pytest.approx(value(build(name), x, y), rel=1e-12)


def test_traits_have_no_law_without_a_name() -> None:
    assert all(isinstance(traits, Traits) for traits in TRAITS.values())
    assert set(LEARNED) | set(EXACT) == set(TRAITS)
