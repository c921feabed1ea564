"""All pairs: every reduction against its dense formula, at any block size, with gradients, in little memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from divkit import Measure, pairs
from divkit.kernel.kernels import Gaussian, Laplace, NegativeDistance, Polynomial
from divkit.pairs import block_size
from divkit.pairs.forms import Distance, Precision
from divkit.transport import Power


def clouds(n: int = 23, m: int = 17, d: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(k, d, generator=generator, dtype=torch.float64).requires_grad_() for k in (n, m))


def dense(k: object, x: Tensor, y: Tensor) -> Tensor:
    s = (x[:, None] - y[None]).square().sum(-1)
    if isinstance(k, Gaussian):
        return torch.exp(-s / 2 / k.bandwidth**2)
    if isinstance(k, Polynomial):
        return (k.gamma * x @ y.T + k.offset) ** k.degree
    if isinstance(k, NegativeDistance):
        return -(s + 1e-300).sqrt()
    return s if k.p == 2 else (s + 1e-300) ** (k.p / 2)


@pytest.fixture(params=[5, 1024])
def blocks(request: pytest.FixtureRequest) -> object:
    with block_size(request.param):
        yield


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("k", [Gaussian(0.9), NegativeDistance(), Polynomial(3, 0.3, 1.0)], ids=lambda k: type(k).__name__)
def test_sums_with_any_payload_and_cotangent(k: object) -> None:
    x, y = clouds()
    w, v = torch.rand(23, 2).double().requires_grad_(), torch.rand(17, 2).double().requires_grad_()
    got = pairs.sums(k, x, y, w, v)
    table = dense(k, x, y)
    own, own_table = pairs.self_sums(k, x, w), dense(k, x, x)
    own_table = own_table - torch.diag(own_table.diagonal())
    expected = [table @ v, table.T @ w, own_table @ w]
    for ours, theirs in zip([got.rows, got.columns, own.rows], expected):
        assert torch.allclose(ours, theirs, rtol=1e-10)
    assert torch.allclose(got.squares, w[:, 0].square() @ table.square() @ v[:, 0].square())
    assert torch.allclose(own.squares, w[:, 0].square() @ own_table.square() @ w[:, 0].square())
    weights = [torch.randn_like(t) for t in expected]
    loss = sum((t * c).sum() for t, c in zip([got.rows, got.columns, own.rows], weights))
    truth = sum((t * c).sum() for t, c in zip(expected, weights))
    for ours, theirs in zip(torch.autograd.grad(loss, (x, y, w, v)), torch.autograd.grad(truth, (x, y, w, v))):
        assert torch.allclose(ours, theirs, rtol=1e-8, atol=1e-10)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("k", [Gaussian(0.9), NegativeDistance(), Polynomial(3, 0.3, 1.0)], ids=lambda k: type(k).__name__)
def test_totals_and_their_fused_gradients(k: object) -> None:
    x, y = clouds()
    w, v = torch.rand(23).double().requires_grad_(), torch.rand(17).double().requires_grad_()
    own = dense(k, x, x)
    truth = w @ dense(k, x, y) @ v + 2 * (w @ (own - torch.diag(own.diagonal())) @ w)
    value = pairs.total(k, x, y, w, v) + 2 * pairs.self_total(k, x, w)
    assert torch.allclose(value, truth)
    for ours, theirs in zip(torch.autograd.grad(value, (x, y, w, v)), torch.autograd.grad(truth, (x, y, w, v))):
        assert torch.allclose(ours, theirs, rtol=1e-8, atol=1e-10)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("d", [3, 8])
def test_nearly_coincident_points_pull_with_all_their_digits(d: int) -> None:
    """In float32 the two halves of slope · x − slope · y cancel; some pairs coincide, and pull nowhere."""
    x, y = clouds(23, 17, d)
    x = x.detach().float()
    y = torch.cat([x[:4], x[4:8] + 1e-5 * y.detach()[:4].float(), y.detach()[8:].float()])
    w, v = torch.full((len(x),), 1 / len(x)), torch.full((len(y),), 1 / len(y))
    px, py = x.clone().requires_grad_(), y.clone().requires_grad_()
    got = torch.autograd.grad(pairs.total(NegativeDistance(), px, py, w, v), (px, py))
    difference = x.double()[:, None] - y.double()[None]
    pull = -torch.nan_to_num(difference / difference.norm(dim=-1, keepdim=True)) / (len(x) * len(y))
    for ours, theirs in zip(got, (pull.sum(1), -pull.sum(0))):
        assert torch.allclose(ours.double(), theirs, rtol=1e-4, atol=1e-6 * float(theirs.abs().max()))


@pytest.mark.parametrize("moves", [(True, False), (False, True), (False, False)])
def test_a_gradient_is_found_for_what_moves(moves: tuple[bool, bool]) -> None:
    x, y = (s.detach().requires_grad_(needed) for s, needed in zip(clouds(), moves))
    w, v = torch.rand(23).double().requires_grad_(), torch.rand(17).double().requires_grad_()
    own = dense(Gaussian(0.9), x, x)
    truth = w @ dense(Gaussian(0.9), x, y) @ v + w @ (own - torch.diag(own.diagonal())) @ w
    value = pairs.total(Gaussian(0.9), x, y, w, v) + pairs.self_total(Gaussian(0.9), x, w)
    assert torch.allclose(value, truth)
    wanted = [t for t in (x, y, w, v) if t.requires_grad]
    for ours, theirs in zip(torch.autograd.grad(value, wanted), torch.autograd.grad(truth, wanted)):
        assert torch.allclose(ours, theirs, rtol=1e-8, atol=1e-10)


@pytest.mark.usefixtures("blocks")
def test_quadratic_forms() -> None:
    x, _ = clouds()
    s = torch.rand(23, 4).double()
    own = dense(Gaussian(0.9), x, x).detach()
    own -= torch.diag(own.diagonal())
    forms = pairs.quadratic_forms((Laplace(0.4), Gaussian(0.9)), x.detach(), s)
    own -= forms.constants[1] * (1 - torch.eye(23))
    assert torch.allclose(forms.values[1], torch.einsum("ib,ij,jb->b", s, own, s))
    assert torch.allclose(forms.rows[1], own.sum(1))
    assert torch.allclose(forms.squares[1], own.square().sum())


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("p", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("epsilon", [1e-3, 0.5])
def test_softmin_with_any_guess(p: float, epsilon: float) -> None:
    x, y = clouds()
    score = torch.randn(17).double().requires_grad_()
    truth = -epsilon * torch.logsumexp((score - dense(Power(p), x, y)) / epsilon, 1)
    cotangent = torch.randn(23).double()
    expected = torch.autograd.grad((truth * cotangent).sum(), (x, y, score))
    for guess in (None, truth.detach() + 0.01 * epsilon, torch.full_like(truth, 1e3), torch.full_like(truth, -1e3)):
        got = pairs.softmin(Power(p), x, y, score, epsilon, guess)
        assert torch.allclose(got, truth, rtol=1e-9, atol=1e-12)
        for ours, theirs in zip(torch.autograd.grad((got * cotangent).sum(), (x, y, score)), expected):
            assert torch.allclose(ours, theirs, rtol=1e-6, atol=1e-8)


@pytest.mark.usefixtures("blocks")
def test_minimum_and_nearest() -> None:
    x, y = (s.detach() for s in clouds())
    score = torch.randn(17).double()
    cost = dense(Power(2.0), x, y) - score
    values, index = pairs.minimum(Power(2.0), x, y, score)
    assert torch.allclose(values, cost.amin(1))
    assert torch.equal(index, cost.argmin(1))
    distances, where = pairs.nearest(x, y, 4)
    expected = torch.cdist(x, y).sort(1)
    assert torch.allclose(distances, expected.values[:, :4])
    assert torch.equal(where, expected.indices[:, :4])
    own, _ = pairs.nearest(x, x, 2, exclude_self=True)
    assert torch.allclose(own, torch.cdist(x, x).sort(1).values[:, 1:3])


def test_what_cannot_be_is_refused() -> None:
    x, y = clouds()
    with pytest.raises(ValueError, match="24 neighbours need at least 25 samples; got 23"):
        pairs.nearest(x, x, 24, exclude_self=True)
    with pytest.raises(ValueError, match="at least one row; got 0"), block_size(0):
        pass
    value = pairs.total(Gaussian(1.0), x, y, torch.ones(23).double(), torch.ones(17).double())
    with pytest.raises(RuntimeError, match="second derivatives through pairs of points are not available"):
        torch.autograd.grad(value, x, create_graph=True)


@pytest.mark.parametrize("few", [0.0, 1.0])
@pytest.mark.parametrize("same", [True, False])
def test_close_points_keep_their_digits_in_a_matrix_product(few: float, same: bool) -> None:
    x = 100 + clouds()[0].detach()
    y = x if same else x + 1e-9
    form = type(Distance)(Precision(direct=0, gathered=7, few=few))
    s, least = form.bounded_tile(x, y, same=same)
    exact = (x[:, None] - y[None]).square().sum(-1)
    keep = ~torch.eye(len(x), dtype=torch.bool) if same else exact < 1e-6
    assert torch.allclose(s[keep], exact[keep], rtol=1e-6 if same else 1e-12, atol=0)
    assert float(s.diagonal().min()) > 0
    assert least <= float(s.min())


def test_frame_keeps_digits_and_refuses_what_overflows() -> None:
    x = torch.tensor([[1e30, 0.0], [-1e30, 1e29]])
    placed = pairs.frame(Measure(x), Measure(x))
    assert 0.25 <= float(placed.x.abs().max()) <= 1
    assert torch.allclose(placed.place(x), placed.x)
    assert placed.unit(1) == placed.scale
    with pytest.raises(ValueError, match="over- or underflows"):
        placed.unit(20)
    with pytest.raises(ValueError, match="spread of the data overflows"):
        pairs.frame(Measure(torch.tensor([[3e38]])), Measure(torch.tensor([[-3e38]])))


def test_memory_stays_with_the_tiles() -> None:
    """Nothing is larger than a tile of 48 by 48 points, a 144th of the table of all pairs."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(576, 2, generator=generator).requires_grad_()
    y = torch.randn(576, 2, generator=generator)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function: object, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
            nonlocal largest
            out = function(*args, **(kwargs or {}))  # type: ignore[operator]
            if isinstance(out, Tensor):
                largest = max(largest, out.numel())
            return out

    weights = torch.full((576,), 1 / 576)
    with block_size(48), Watch():
        pairs.total(Gaussian(1.0), x, y, weights, weights).backward()
    assert largest == 48 * 48
