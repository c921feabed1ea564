"""The loss of a training loop: warm, movable, saved and continued to the bit, and no different from any function."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import divkit as dk
from divkit.critic import TrainingDiverged

KINDS: dict[str, dict[str, Any]] = {
    "energy": {},
    "mmd": {},
    "w2": {},
    "sinkhorn": {"epsilon": 0.1},
    "entropic-ot": {"epsilon": 0.1},
    "sliced-w2": {"projections": 10},
    "kl-knn": {},
    "kl": {},
    "js": {},
}
WARM = ("sinkhorn", "entropic-ot")


def batch(step: int, n: int = 24) -> Tensor:
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(step), dtype=torch.float64)


def made(name: str) -> dk.Criterion:
    return dk.Criterion(name, **KINDS[name])


def saved(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def steps(criterion: Callable[[Tensor, Tensor], Tensor], mu: Tensor, first: int, last: int) -> list[float]:
    """A training loop: the mean of a normal law follows another's."""
    values = []
    for step in range(first, last):
        loss = criterion(batch(2 * step) + 2.0, batch(2 * step + 1) + mu)
        (gradient,) = torch.autograd.grad(loss, mu)
        with torch.no_grad():
            mu -= 0.2 * gradient
        values.append(float(loss.detach()))
    return values


@pytest.mark.parametrize("name", KINDS)
def test_continues_to_the_bit_after_saving(name: str) -> None:
    mu = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    criterion = made(name)
    steps(criterion, mu, 0, 3)
    state, at = saved(criterion.state_dict()), mu.detach().clone().requires_grad_()
    whole = steps(criterion, mu, 3, 6)
    again = made(name)
    again.load_state_dict(state)
    assert steps(again, at, 3, 6) == whole
    assert torch.equal(at, mu)


@pytest.mark.parametrize("name", KINDS)
def test_state_is_a_copy(name: str) -> None:
    mu = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    criterion = made(name)
    steps(criterion, mu, 0, 1)
    state = criterion.state_dict()
    before = saved(state)
    steps(criterion, mu, 1, 3)
    assert repr(saved(state)) == repr(before)


def test_any_function_will_do() -> None:
    """A model sees a callable (x, y) -> scalar and nothing else."""
    plain = lambda x, y: ((x.mean(0) - y.mean(0)) ** 2).sum()  # noqa: E731
    for criterion in (plain, made("energy"), made("w2"), dk.get("energy")):
        mu = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        steps(criterion, mu, 0, 40)
        assert float((mu.detach() - 2).norm()) < 0.5


@pytest.mark.parametrize("name", WARM)
def test_a_warm_start_saves_sweeps(name: str) -> None:
    criterion = made(name)
    cold = []
    for step in range(4):
        x, y = batch(0, 60) + 0.01 * step, batch(1, 60) * 1.2 + 0.5
        criterion(x, y)
        assert criterion.solution is not None
        assert criterion.solution.converged
        cold.append(criterion.divergence.estimate(x, y))
    assert criterion.solution.steps < cold[-1].solution.steps
    assert float(criterion(x, y)) == pytest.approx(cold[-1].value, rel=1e-3)


def test_the_bandwidth_is_that_of_the_first_batch() -> None:
    criterion = made("mmd")
    criterion(batch(0), batch(1))
    assert criterion.solution is not None
    first = criterion.solution.state["bandwidth"]
    criterion(100 * batch(2), 100 * batch(3))
    assert criterion.solution.state["bandwidth"] == first


def test_projections_change_from_step_to_step() -> None:
    criterion = made("sliced-w2")
    values = {float(criterion(batch(0), batch(1) + 1)) for _ in range(5)}
    assert len(values) == 5


@pytest.mark.parametrize("name", KINDS)
def test_ascending_only_improves_the_solution(name: str) -> None:
    criterion = made(name)
    mu = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    with criterion.ascending():
        inside = criterion(batch(0) + 2, batch(1) + mu)
        with criterion.ascending():
            assert not criterion(batch(0) + 2, batch(1) + mu).requires_grad
        assert not criterion(batch(0) + 2, batch(1) + mu).requires_grad
    assert not inside.requires_grad
    assert criterion(batch(0) + 2, batch(1) + mu).requires_grad
    with pytest.raises(RuntimeError, match="within"), criterion.ascending():
        raise RuntimeError("within")
    assert criterion(batch(0), batch(1) + mu).requires_grad


def test_ascending_raises_the_bound() -> None:
    criterion = made("kl")
    x, y = batch(0, 200) + 1, batch(1, 200)
    first = float(criterion(x, y))
    with criterion.ascending():
        for _ in range(100):
            criterion(x, y)
    assert float(criterion(x, y)) > first + 0.1


@pytest.mark.parametrize("name", KINDS)
def test_to_casts_the_state(name: str) -> None:
    criterion = made(name)
    assert criterion.to(torch.float32) is criterion  # nothing to move yet
    criterion(batch(0), batch(1) + 1)
    criterion.to(torch.float32)
    assert not any(t.dtype == torch.float64 for t in tensors(criterion.state_dict()))
    loss = criterion(batch(2).float(), batch(3).float() + 1)
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    criterion.to("cpu", torch.float64)
    assert torch.isfinite(criterion(batch(2), batch(3) + 1))


def tensors(state: Any) -> list[Tensor]:
    if isinstance(state, Tensor):
        return [state]
    inner = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else ()
    return [tensor for value in inner for tensor in tensors(value)]


def test_batches_may_change_their_size() -> None:
    for name in KINDS:
        criterion = made(name)
        for n, m in ((24, 24), (20, 30), (31, 8)):
            y = batch(1, m).requires_grad_()
            criterion(batch(0, n), y).backward()
            assert bool(y.grad.isfinite().all()), name  # type: ignore[union-attr]


def test_an_empty_state() -> None:
    criterion = made("sinkhorn")
    assert criterion.state_dict() == {"solution": None}
    used = made("sinkhorn")
    used(batch(0), batch(1))
    used.load_state_dict(saved(criterion.state_dict()))
    assert used.solution is None
    assert repr(criterion) == f"Criterion({criterion.divergence!r})"


def test_a_critic_is_no_parameter_of_a_model() -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.criterion = torch.nn.Linear(2, 2), made("kl")

    model = Model()
    model.criterion(batch(0), batch(1))
    assert len(list(model.parameters())) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dk.Criterion("enrgy"), "unknown divergence 'enrgy'; did you mean energy"),
        (lambda: dk.Criterion("energy", beta=1), "divergence 'energy' has no option beta"),
        (lambda: dk.Criterion(dk.get("w2"), gap=1e-3), r"fields \(gap\) go with a name"),
        (lambda: dk.Criterion(3), "a divergence is named by a string, is a Divergence, .*; got int"),
        (lambda: made("energy")(batch(0, 1), batch(1)), "a minimum of 2 is required: x for energy"),
        (lambda: made("w2")(batch(0) * torch.nan, batch(1)), "Input x contains NaN"),
        (lambda: made("w2").load_state_dict({}), "not a Criterion's state: wanted the key 'solution', got nothing"),
        (lambda: made("w2").load_state_dict({"a": 1, "b": 2}), "wanted the key 'solution', got a, b"),
    ],
)
def test_refusals(call: Callable[[], object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_what_diverges_has_a_name() -> None:
    assert issubclass(TrainingDiverged, UserWarning)
