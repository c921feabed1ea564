"""Faults of input and of environment, and what the entries do: `estimate`, `loss`, `test`, `compare` and `Criterion`.

What every name obeys, whatever the entry, is in `test_contract`.
"""

from __future__ import annotations

import math
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import scipy.sparse
import torch
from torch import Tensor, nn
from traits import TRAITS, samples

import divkit as dk
from divkit.critic import Ascent, Variational
from divkit.fdiv import KL, Bound
from divkit.kernel import MMD
from divkit.kernel.kernels import Kernel
from divkit.pairs import Form, InnerProduct
from divkit.transport import EntropicOT, Sinkhorn, SlicedWasserstein, Wasserstein

EXACT = [name for name, traits in TRAITS.items() if not traits.learned]
PAIRS_OF_DIFFERENT = ["energy", "cramer", "mmd", "mmd-laplace", "mmd-imq", "kid"]
TRANSPORT = ["w1", "w2", "sinkhorn", "entropic-ot", "sliced-w1", "sliced-w2", "max-sliced-w2", "gaussian-w2"]
AUTO = {"bandwidth", "epsilon", "tol"}  # left at their defaults, which follow the scale of the data
X, Y = samples()


def build(name: str) -> dk.Divergence:
    return dk.get(name, **{key: value for key, value in TRAITS[name].fields.items() if key not in AUTO})


def value(name: str, x: Any = X, y: Any = Y) -> float:
    return build(name).estimate(x, y).value


def gradient(divergence: dk.Divergence, x: Tensor, y: Tensor) -> tuple[float, Tensor]:
    px = x.clone().requires_grad_()
    loss = divergence.loss(px, px if y is x else y)
    loss.backward()
    assert px.grad is not None
    return float(loss.detach()), px.grad


def quick(**how: Any) -> Ascent:
    return Ascent(**{"folds": 2, "steps": 25, **how})


ENTRIES: list[Callable[[Any, Any], object]] = [
    lambda x, y: dk.estimate("energy", x, y),
    lambda x, y: dk.get("w2").loss(x, y),
    lambda x, y: dk.test("energy", x, y, permutations=20),
    lambda x, y: dk.compare(x, y, "energy"),
    lambda x, y: dk.Criterion("sinkhorn")(x, y),
]


@pytest.mark.parametrize("entry", ENTRIES, ids=["estimate", "loss", "test", "compare", "criterion"])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda x: np.where(np.arange(len(x))[:, None] == 3, np.nan, x), "contains NaN.*first in row 3"),
        (lambda x: np.where(np.arange(len(x))[:, None] == 3, -np.inf, x), "(?i)infinit"),
        (lambda x: x * np.nan, "contains NaN"),
        (lambda x: x[:0], r"Found array with 0 sample\(s\)|0 samples left|0 rows"),
        (lambda x: x[:, :0], r"Found array with 0 feature\(s\)|0 columns"),
        (lambda x: x[:, :2], "point of x|shape|must agree"),
        (lambda x: 3.0, "scalar|shape|0 dimensions"),
        (lambda x: x.astype(complex), "(?i)complex"),
        (lambda x: x.astype(str), "numbers"),
        (lambda x: x.astype(object), "numbers"),
        (lambda x: x.astype("datetime64[s]"), "numbers"),
    ],
    ids=[
        "nan",
        "infinity",
        "all-nan",
        "empty",
        "no-features",
        "widths",
        "scalar",
        "complex",
        "strings",
        "objects",
        "dates",
    ],
)
def test_what_holds_no_samples_is_refused_at_every_entry(
    bad: Callable[[np.ndarray], Any], message: str, entry: Callable[[Any, Any], object]
) -> None:
    x, y = X.numpy(), Y.numpy()
    for arguments in ((bad(x), y), (x, bad(y))):
        with pytest.raises((ValueError, TypeError), match=message):
            entry(*arguments)


@pytest.mark.parametrize("name", TRANSPORT)
def test_one_sample_has_a_value_but_no_error(name: str) -> None:
    e = build(name).estimate([[1.0, 2.0]], [[4.0, 6.0]])
    assert e.value > 0
    assert math.isnan(e.stderr)
    assert "minimum of 2" in e.notes["stderr"]


@pytest.mark.parametrize("name", PAIRS_OF_DIFFERENT)
def test_averages_over_pairs_need_two_samples(name: str) -> None:
    for x, y in (([[1.0]], [[4.0], [5.0]]), ([[4.0], [5.0]], [[1.0]]), (dk.Measure([1.0, 2.0], [1, 0]), [4.0, 5.0])):
        with pytest.raises(ValueError, match=r"Found array with 1 sample\(s\) while a minimum of 2 is required: [xy]"):
            build(name).estimate(x, y)
    assert math.isfinite(replace(build(name), unbiased=False).estimate([[1.0]], [[4.0]]).value)


def test_few_samples_have_few_relabellings() -> None:
    with pytest.warns(UserWarning, match=r"no p-value below 0.167 is possible with 6 relabellings"):
        assert dk.test("energy", [0.0, 1.0], [5.0, 6.0]).pvalue >= 1 / 6


@pytest.mark.parametrize("name", EXACT)
def test_the_same_numbers_in_another_form_have_the_same_value(name: str) -> None:
    x, y = X.numpy(), Y.numpy()
    expected = value(name)
    wide = np.zeros((60, 6))
    wide[::2, ::2] = x
    locked = x.copy()
    locked.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for form in (
            x[::-1][::-1],
            np.asfortranarray(x),
            wide[::2, ::2],
            locked,
            X,
            X.T.contiguous().T,
            x.tolist(),
            x.astype(">f8"),
        ):
            assert value(name, form, y) == pytest.approx(expected, rel=1e-12)
        assert value(name, x.reshape(30, 3, 1), y.reshape(45, 3, 1)) == pytest.approx(expected, rel=1e-12)
        assert value(name, x[:, 0], y[:, 0]) == value(name, x[:, :1], y[:, :1])
        stride_0 = np.broadcast_to(x[:1], x.shape)
        assert value(name, stride_0, y) == pytest.approx(value(name, stride_0.copy(), y), rel=1e-12)


@pytest.mark.parametrize("name", ["mmd", "mmd-laplace"])
def test_the_bandwidth_of_constant_data_is_said(name: str) -> None:
    x, y = torch.full((9, 3), 0.3).double(), torch.full((8, 3), 0.3).double()
    assert build(name).estimate(x, y).notes["bandwidth_rule"] == "all points coincide; the bandwidth was set to 1"
    mostly = torch.cat([x, x[:1] + torch.tensor([[0, 0, 0.5]])])
    assert build(name).estimate(mostly, y).notes["bandwidth"] == pytest.approx(0.5)


def test_fixed_lengths_and_other_powers_at_extreme_scales() -> None:
    for kernel in (
        dk.kernels.Gaussian(1.0),
        dk.kernels.Laplace(1.0),
        dk.kernels.IMQ(1.0),
        dk.kernels.RationalQuadratic(1.0, 1.0),
    ):
        for dtype, scales in ((torch.float64, (1e200, 1e-200)), (torch.float32, (1e30, 1e-30))):
            for scale in scales:  # all points apart, or all the same
                distance, slope = gradient(MMD(kernel), (scale * X).to(dtype), (scale * Y).to(dtype))
                assert abs(distance) < 1e-5
                assert bool(slope.isfinite().all())
    for scale in (1e120, 1e200):
        with pytest.raises(ValueError, match="it overflows; divide the data by a constant first"):
            dk.estimate("kid", scale * X, scale * Y)
    with pytest.raises(ValueError, match=r"the spread of the data overflows torch.float64; divide"):
        dk.estimate("w1", [[-1.5e308], [-1.5e308]], [[1.5e308], [0.0]])
    assert dk.estimate("w2", X * 1e-7, Y * 1e-7).value == pytest.approx(1e-14 * dk.estimate("w2", X, Y).value, rel=1e-10)


def test_an_offset_that_float32_does_not_carry_is_said() -> None:
    with pytest.warns(dk.PrecisionWarning, match=r"float32 rounds by .*; subtract the offset in float64 first"):
        dk.estimate("energy", (1e8 + 1e-3 * X).float(), (1e8 + 1e-3 * Y).float())


@pytest.mark.parametrize("name", ["mmd", "mmd-laplace", "mmd-imq", "w1", "sliced-w1", "kl-knn"])
def test_one_outlier_leaves_the_others_their_digits(name: str) -> None:
    x = torch.cat([X, torch.full((1, 3), 1e12, dtype=X.dtype)])
    e = build(name).estimate(x, Y)
    assert math.isfinite(e.stderr)
    assert value(name, x.float(), Y.float()) == pytest.approx(e.value, rel=1e-4)  # the others keep their digits
    if name == "mmd":
        assert e.notes["bandwidth"] == pytest.approx(build(name).estimate(X, Y).notes["bandwidth"], rel=0.1)


@pytest.mark.parametrize("name", ["energy", "w2", "sliced-w1", "mmd"])
def test_whole_numbers_do_not_wrap_around(name: str) -> None:
    generator = np.random.default_rng(0)
    x, y = (generator.integers(0, 256, (12, 1, 4, 4), dtype=np.uint8) for _ in range(2))
    for dtype in (np.uint8, np.int16, np.int64):
        assert value(name, x.astype(dtype), y.astype(dtype)) == value(name, x.astype(float), y.astype(float))
    tensors = torch.from_numpy(x), torch.from_numpy(y)
    assert value(name, *tensors) == value(name, *(t.float() for t in tensors))
    assert value(name, x > 99, y > 99) == value(name, (x > 99).astype(float), (y > 99).astype(float))


def test_a_loss_that_overflows_half_precision_is_refused() -> None:
    x, y = X.to(torch.float16), Y.to(torch.float16)
    with pytest.raises(ValueError, match=r"the w2 of these samples, .*, overflows torch.float16; divide the data"):
        dk.get("w2").loss(1000 * x, 1000 * y)


def test_containers_are_read_or_refused() -> None:
    assert dk.estimate("w2", X.numpy().astype(np.longdouble), Y).value == dk.estimate("w2", X, Y).value
    for sparse in (scipy.sparse.csr_matrix(X.numpy()), scipy.sparse.coo_array(X.numpy()), X.to_sparse()):
        with pytest.raises(TypeError, match=r"x is a sparse .*toarray\(\)"):
            dk.estimate("w2", sparse, Y)
    with pytest.raises(TypeError, match=r"x is a generator; give a list"):
        dk.estimate("w2", (row for row in X), Y)
    with pytest.raises(ValueError, match="x is a masked array with masked values"):
        dk.estimate("w2", np.ma.masked_greater(X.numpy(), 1), Y)
    assert dk.estimate("w2", np.ma.masked_invalid(X.numpy()), Y).value == dk.estimate("w2", X, Y).value
    assert dk.estimate("w2", [(0, 1), (2, 3)], [[0, 1], [2, 3]]).value == 0.0


def test_a_p_value_keeps_no_graph() -> None:
    x = X.clone().requires_grad_()
    alive = weakref.ref(x)
    shifted = 2 * x
    result = dk.test("energy", shifted, Y, permutations=20)
    assert result == dk.test("energy", 2 * X, Y, permutations=20)
    estimate = dk.estimate("energy", shifted, Y)
    assert not any(part.requires_grad for part in estimate.influence)
    del x, shifted
    assert alive() is None  # nothing of the result leads back to the data


def test_meta_tensors_are_refused() -> None:
    for x, y in ((X.to("meta"), Y), (X, Y.to("meta")), (X.to("meta"), Y.to("meta"))):
        with pytest.raises(ValueError, match=r"[xy] is on the meta device and holds no data"):
            dk.estimate("w2", x, y)


@pytest.mark.parametrize(
    "weights", [-np.ones(30), np.full(30, np.nan), np.zeros(30), np.ones(29), np.ones((30, 1)), np.full(30, np.inf)]
)
def test_weights_are_checked(weights: np.ndarray) -> None:
    for side in ("x", "y"):
        with pytest.raises(ValueError, match=f"weights_{side}"):
            dk.estimate("w2", X, X, **{f"weights_{side}": weights})


@pytest.mark.parametrize("bad", [0, -1, -0.5, math.nan, math.inf, "small", None, True])
@pytest.mark.parametrize(
    ("name", "field"),
    [
        *(("sinkhorn", "epsilon"), ("sinkhorn", "tol"), ("sinkhorn", "p"), ("sinkhorn", "sweeps"), ("entropic-ot", "epsilon")),
        *(
            ("w2", "gap"),
            ("sliced-w2", "projections"),
            ("energy", "exponent"),
            ("kl-knn", "k"),
            ("kl", "folds"),
            ("kl", "steps"),
        ),
        *(("mmd", "bandwidth"), ("mmd-laplace", "bandwidth"), ("mmd-imq", "sigma"), ("skew-kl", "weight")),
    ],
)
def test_fields_out_of_range_are_refused(name: str, field: str, bad: Any) -> None:
    with pytest.raises(ValueError, match=f"{field} must (be|lie)"):
        dk.get(name, **{field: bad})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dk.kernels.Polynomial(degree=0), "degree must be a whole number of at least 1"),
        (lambda: dk.kernels.Polynomial(gamma=0), "gamma must be a positive"),
        (lambda: dk.kernels.Polynomial(offset=-1), "offset must be a finite number of at least 0"),
        (lambda: dk.kernels.Median(1), "rows must be a whole number of at least 2"),
        (lambda: dk.kernels.MultiscaleIMQ(scales=(1, -1)), "scales must be a positive"),
        (lambda: SlicedWasserstein(seed=-1), "seed must be a whole number of at least 0"),
        (lambda: Ascent(rate=0), "rate must be a positive"),
        (lambda: Ascent(held=1), "held must lie strictly between 0 and 1"),
        (lambda: Ascent(batch=0), "batch must be a whole number"),
    ],
)
def test_fields_of_parts_out_of_range_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["sinkhorn", "entropic-ot"])
def test_what_is_not_solved_is_said(name: str, dtype: torch.dtype) -> None:
    largest = float(torch.cdist(X, Y).square().max())
    divergence = dk.get(name, epsilon=1e-8 * largest, sweeps=50)
    with pytest.warns(dk.ConvergenceWarning, match=f"{name}: stopped at the step limit"):
        e = divergence.estimate(X.to(dtype), Y.to(dtype))
    assert not e.converged
    assert e.solution.error > 1e-4
    assert math.isfinite(e.value)
    with pytest.warns(dk.ConvergenceWarning, match=r"error .* after \d+ steps"):
        assert dk.get(name, sweeps=1).estimate(X, Y).solution.error > 1e-4


def test_orders_are_checked_and_disjoint_supports_are_infinite() -> None:
    for make in (Wasserstein, SlicedWasserstein):
        with pytest.raises(ValueError, match=r"p must be a finite number of at least 1; got 0.5"):
            make(p=0.5)
    for make in (Sinkhorn, EntropicOT):
        with pytest.raises(ValueError, match="p must be a finite number of at least 1; got 0"):
            make(p=0)
    with pytest.raises(ValueError, match="order 1 is kl"):
        dk.exact("renyi", torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(1.0, 1.0), order=1)
    with pytest.raises(ValueError, match="use 'reverse-kl' for 0, 'kl' for 1"):
        dk.get("alpha", order=1)
    apart = torch.distributions.Uniform(0.0, 1.0), torch.distributions.Uniform(2.0, 3.0)
    assert dk.exact("kl", *apart) == math.inf
    assert dk.exact("tv", *apart) == pytest.approx(1.0)


@dataclass(frozen=True)
class Cauchy(Kernel):
    """A user's kernel that says nothing of scales."""

    def value(self, s: Tensor) -> Tensor:
        return s.add_(1).reciprocal_()

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        k = self.value(s)
        return k, k.square(), -2.0


@pytest.mark.parametrize("scale", [0.03, 1.0, 10.0])
def test_a_users_kernel_is_evaluated_at_the_datas_scale(scale: float) -> None:
    expected, slope = gradient(MMD(dk.kernels.IMQ(1.0)), scale * X, scale * Y)
    for kernel in (Cauchy(), Cauchy() + dk.kernels.IMQ(1.0)):
        distance, mine = gradient(MMD(kernel), scale * X, scale * Y)
        times = 1 if isinstance(kernel, Cauchy) else 2
        assert distance == pytest.approx(times * expected, rel=1e-12)
        assert torch.allclose(mine, times * slope, rtol=1e-9)


class Broken(Kernel):
    """A user's kernel that is none."""

    def __init__(self, how: Callable[[Tensor], Tensor]) -> None:
        object.__setattr__(self, "how", how)

    def __repr__(self) -> str:
        return "Broken()"

    def value(self, s: Tensor) -> Tensor:
        return self.how(s)  # type: ignore[attr-defined,no-any-return]

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        return self.value(s), s, 1.0


class Lopsided(Broken):
    form: ClassVar[Form] = InnerProduct

    def evaluate(self, x: Tensor, y: Tensor) -> Tensor:
        return x[:, :1].expand(len(x), len(y))


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (Broken(lambda s: s.sum(1)), r"kernel Broken\(\) must return one number per pair, shape \(4, 4\); got \(4,\)"),
        (Broken(lambda s: s * math.nan), r"kernel Broken\(\) returned NaN or infinity on the first points"),
        (Lopsided(lambda s: s), r"kernel Broken\(\) is not symmetric"),
        ("gaussian", r"kernel must be a Kernel such as divkit.kernels.Gaussian\(1.0\); got 'gaussian'"),
        (lambda x, y: x @ y.T, "kernel must be a Kernel"),
    ],
)
def test_kernels_that_are_none_are_refused(kernel: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MMD(kernel).estimate(X, Y)


class Critic(nn.Module):
    """A linear critic whose output is spoilt."""

    def __init__(self, spoil: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear, self.spoil = nn.Linear(3, 1), spoil

    def forward(self, x: Tensor) -> Tensor:
        return self.spoil(self.linear(x))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.expand(-1, 2), r"critic must return one number per point, shape \(2,\); got \(2, 2\)"),
        (lambda t: t * math.nan, "critic returned NaN or infinity on the first points"),
        (lambda t: t.detach(), "critic's output has no gradient"),
        (lambda t: 1.0, "critic must return one number per point"),
    ],
)
def test_critics_that_are_none_are_refused(spoil: Callable[[Tensor], Tensor], message: str) -> None:
    divergence = Variational(Bound(KL), critic=lambda shape: Critic(spoil), ascent=quick())
    for call in (divergence.estimate, dk.Criterion(divergence)):
        with pytest.raises(ValueError, match=message):
            call(X, Y)


@pytest.mark.filterwarnings("ignore::divkit.ConvergenceWarning")
def test_dropout_is_off_when_judging() -> None:
    def critic(shape: torch.Size) -> nn.Module:
        return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))

    divergence = Variational(Bound(KL), critic=critic, ascent=quick())
    x, y = samples(60, 60)
    p, q = dk.Measure(x), dk.Measure(y)
    solution = divergence.solve(p, q)
    assert torch.equal(divergence.scores(p, solution, "x"), divergence.scores(p, solution, "x"))


@pytest.mark.filterwarnings("ignore::divkit.ConvergenceWarning")
def test_permutations_are_counted_in_whole_numbers() -> None:
    for bad in (0, -1, 2.5):
        with pytest.raises(ValueError, match="permutations must be a whole number of at least 1"):
            dk.test("energy", X, Y, permutations=bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "fields"), [("energy", {}), ("mmd", {"bandwidth": 1.0}), ("sliced-w2", {"projections": 20})])
def test_memory_is_that_of_a_tile(name: str, fields: dict[str, Any]) -> None:
    """4000² distances would take 128 MB; the peak of what is allocated stays under 64."""
    x = torch.randn(4000, 2, dtype=torch.float64)
    with torch.profiler.profile(profile_memory=True) as profile:
        dk.get(name, **fields).loss(x.clone().requires_grad_(), x.flip(0) + 1).backward()
    bytes_now = peak = 0
    for event in profile.profiler.kineto_results.events():  # type: ignore[union-attr]
        if event.name() == "[memory]":
            bytes_now += event.nbytes()
            peak = max(peak, bytes_now)
    assert 0 < peak < 64e6


def test_the_median_of_more_distances_than_torch_takes() -> None:
    """`torch.quantile` ends at 2²⁴ numbers: 6000 rows have more distances."""
    x = torch.randn(6000, 1)
    assert dk.get("mmd").solve(dk.Measure(x), dk.Measure(x + 1)).state["bandwidth"] == pytest.approx(1.0, rel=0.2)


def test_the_number_of_threads_changes_rounding_only() -> None:
    before = torch.get_num_threads()
    numbers = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            numbers.append(
                [value(name) for name in ("energy", "w2", "sliced-w2")] + [dk.test("mmd", X, Y, permutations=50).pvalue]
            )
    finally:
        torch.set_num_threads(before)
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-10)


@pytest.fixture
def restored() -> Iterator[None]:
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("name", EXACT)
def test_modes_and_defaults_of_torch_change_no_number(name: str) -> None:
    divergence = build(name)
    expected, single = divergence.estimate(X, Y).value, divergence.estimate(X.float(), Y.float()).value
    descended = float(divergence.loss(X, Y))
    with torch.no_grad():
        assert (divergence.estimate(X, Y).value, float(divergence.loss(X, Y))) == (expected, descended)
        assert not divergence.loss(X.clone().requires_grad_(), Y).requires_grad
    with torch.inference_mode():
        assert divergence.estimate(X, Y).value == expected
        assert float(divergence.loss(X * 1, Y * 1)) == descended
        assert float(dk.Criterion(divergence)(X * 1, Y * 1)) == descended
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert divergence.estimate(X.float(), Y.float()).value == single
    torch.set_default_dtype(torch.float64)
    assert divergence.estimate(X.float(), Y.float()).value == pytest.approx(single, rel=1e-6)
    torch.set_default_device("meta")
    assert divergence.estimate(X, Y).value == expected
    assert float(dk.Criterion(divergence)(X, Y)) == descended


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["energy", "mmd", "w2", "sinkhorn", "sliced-w2", "kl-knn", "kl"])
def test_threads_may_call_at_once(name: str) -> None:
    divergence = build(name) if name != "kl" else dk.get("kl", folds=2, steps=25)
    moved = [Y + shift % 3 for shift in range(8)]
    expected = [divergence.estimate(X, y).value for y in moved[:3]]
    values = [math.nan] * 8

    def call(shift: int) -> None:
        values[shift] = divergence.estimate(X, moved[shift]).value

    threads = [threading.Thread(target=call, args=(shift,)) for shift in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert values == [expected[shift % 3] for shift in range(8)]


@dataclass(frozen=True)
class Infinite(dk.Divergence):
    """Says that it is solved and is not finite."""

    @property
    def bias(self) -> dk.Bias:
        return dk.Bias.UNKNOWN

    def terms(self, x: dk.Measure, y: dk.Measure, solution: dk.Solution) -> dk.Terms:
        return dk.Terms(x.flat[:, 0] * math.inf, torch.zeros(y.n))


def test_a_value_comes_with_its_error_or_not_at_all() -> None:
    with pytest.raises(ValueError, match=r"the value of these samples is (nan|-?inf) ± nan: it overflows"):
        Infinite().estimate(X, Y)
    with pytest.raises(ValueError, match=r"overflows torch.float64"):
        Infinite().loss(X.abs() + 1, Y)
