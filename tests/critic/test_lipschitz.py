"""Networks of Lipschitz constant one, by construction."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Size, Tensor, nn

from divkit.critic import GroupSort, Orthonormal, Perceptron, Spectral, groupsort, perceptron, spectral
from divkit.data.measure import pair

HARD = [groupsort(), groupsort(16, 3, 4), spectral(), spectral(10, 1), Perceptron(Orthonormal, nn.ReLU)]


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (1, 8), (3, 8), (8, 8), (8, 3), (8, 1)])
def test_orthonormal_matrices(inputs: int, outputs: int) -> None:
    for scale in (0.0, 1.0, 30.0):
        layer = Orthonormal(inputs, outputs).double()
        if scale or min(inputs, outputs) > 1:
            layer.free.data.mul_(scale)
        w = layer.weight.detach()
        gram = w @ w.T if outputs <= inputs else w.T @ w
        assert torch.allclose(gram, torch.eye(len(gram), dtype=torch.float64), atol=1e-11)
        assert w.shape == (outputs, inputs)


def test_groupsort_sorts_pairs_and_keeps_norms() -> None:
    h = torch.randn(50, 6, dtype=torch.float64, requires_grad=True)
    sorted_ = GroupSort()(h)
    assert torch.allclose(sorted_[:, :3], torch.maximum(h[:, :3], h[:, 3:]))
    assert torch.allclose(sorted_[:, 3:], torch.minimum(h[:, :3], h[:, 3:]))
    direction = torch.randn(50, 6, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((sorted_ * direction).sum(), h)
    assert torch.allclose(gradient.norm(dim=1), direction.norm(dim=1))
    with pytest.raises(ValueError, match="pairs of units; got 5 units"):
        GroupSort()(torch.zeros(2, 5))


def test_spectral_norms_are_exact_in_evaluation_and_followed_in_training() -> None:
    layer = Spectral(20, 30).double()
    layer.eval()
    assert float(torch.linalg.matrix_norm(layer.weight.detach(), 2)) == pytest.approx(1.0, rel=1e-12)
    layer.train()
    for _ in range(200):
        norm = float(torch.linalg.matrix_norm(layer.weight.detach(), 2))
    assert norm == pytest.approx(1.0, rel=1e-3)
    assert norm >= 1 - 1e-9  # a power iteration sees less than there is


@pytest.mark.parametrize("factory", HARD, ids=repr)
@pytest.mark.parametrize("d", [1, 2, 20])
def test_no_pair_of_points_is_further_apart_behind_the_network(factory: Perceptron, d: int) -> None:
    """Trained a little, so that it is not the start that is Lipschitz."""
    assert factory.constant == 1.0
    network = factory(Size([d])).double()
    x, y = pair(3 + 10 * torch.randn(200, d, dtype=torch.float64), torch.randn(200, d, dtype=torch.float64))
    network.standardise(x, y)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.1)
    for _ in range(20):
        optimiser.zero_grad()
        (network(y.flat).sum() - network(x.flat).square().sum()).backward()
        optimiser.step()
    network.eval()
    with torch.no_grad():
        t, s = network(x.flat), network(y.flat)
    assert float((torch.cdist(t, s) / torch.cdist(x.flat, y.flat)).max()) <= 1 + 1e-9


def test_slopes_of_a_groupsort_network_are_at_most_one() -> None:
    network = groupsort()(Size([1])).double()
    x = torch.linspace(-3, 3, 100, dtype=torch.float64)[:, None].requires_grad_()
    (gradient,) = torch.autograd.grad(network(x).sum(), x)
    assert (
        torch.allclose(gradient.norm(dim=1), torch.ones(100, dtype=torch.float64), atol=1e-12)
        or float(gradient.abs().max()) <= 1
    )


def test_second_derivatives_pass_through() -> None:
    for factory in (groupsort(8), spectral(8), perceptron(8)):
        network = factory(Size([2]))
        x = torch.randn(10, 2, requires_grad=True)
        (gradient,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
        gradient.square().sum().backward()
        assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in network.parameters())


def test_which_layers_are_believed() -> None:
    assert perceptron().constant == math.inf
    assert Perceptron(Orthonormal, nn.SiLU).constant == math.inf  # its slope exceeds one
    assert Perceptron(nn.Linear, GroupSort).constant == math.inf
    assert groupsort() == Perceptron(Orthonormal, GroupSort)
    assert hash(groupsort()) == hash(groupsort(32))


def test_state_is_loaded_as_it_was_saved() -> None:
    for factory in (groupsort(8), spectral(8), perceptron(8)):
        network, other = factory(Size([3])), factory(Size([3]))
        x = torch.randn(5, 3)
        network.standardise(*pair(x, x + 4))
        other.load_state_dict(network.state_dict())
        assert torch.equal(network.eval()(x), other.eval()(x))


def test_units_are_those_of_the_data() -> None:
    """Scores scale with the data; constant data have scale one."""
    network = groupsort()(Size([2])).double()
    x, y = torch.randn(30, 2, dtype=torch.float64), torch.randn(40, 2, dtype=torch.float64)
    network.standardise(*pair(x, y))
    scores: Tensor = network(x).detach()
    for scale in (1e-200, 1e150):
        network.standardise(*pair(scale * x, scale * y))
        assert torch.allclose(network(scale * x).detach(), scale * scores, rtol=1e-9, atol=0)
    other = groupsort()(Size([2]))
    other.standardise(*pair(torch.ones(3, 2), torch.ones(4, 2)))
    assert float(other.scale) == 1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: groupsort(7), "hidden must be even, as GroupSort sorts pairs of units; got 7"),
        (lambda: groupsort(hidden=0), "hidden must be a whole number"),
        (lambda: spectral(layers=0), "layers must be a whole number"),
        (lambda: perceptron(outputs=0), "outputs must be a whole number"),
    ],
)
def test_refusals(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
