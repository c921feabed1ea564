"""The training loop: resumed to the bit, refused where a checkpoint does not fit, stopped where a loss is not finite."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import divkit as dk
from divkit.models import NotFinite, Training, build, fit
from divkit.models.data import Data

DATA = torch.randn(300, 2, generator=torch.Generator().manual_seed(0)) + torch.tensor([1.0, -1.0])
POINTS = Data("points", DATA[:200], DATA[200:])
SHORT = Training(steps=12, batch=32, look=5, critic_batches=2)


class Shift(nn.Module):
    """A reader's own model."""

    def __init__(self, criterion: Callable[[Any, Any], Tensor]) -> None:
        super().__init__()
        self.criterion, self.by, self.drop = criterion, nn.Parameter(torch.zeros(2)), nn.Dropout(0.1)

    def loss(self, x: Tensor) -> Tensor:
        return self.criterion(x, self.drop(torch.randn_like(x)) + self.by)


class Interrupt(Exception):
    pass


def interrupted(step: int) -> Callable[[nn.Module, Any], None]:
    def watch(model: nn.Module, line: Any) -> None:
        if line["step"] == step:
            raise Interrupt

    return watch


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("name", ["gan", "aae", "wae", "avb", "gumbel-vae"])
def test_resumes_to_the_bit(name: str, tmp_path: Path) -> None:
    whole, _ = build(name, POINTS)
    lines = fit(whole, POINTS.train, SHORT, test=POINTS.test, out=tmp_path / "whole")
    broken, _ = build(name, POINTS)
    with pytest.raises(Interrupt):
        fit(broken, POINTS.train, SHORT, test=POINTS.test, out=tmp_path / "broken", watch=interrupted(5))
    again, _ = build(name, POINTS, seed=1)  # whatever it starts from
    assert fit(again, POINTS.train, SHORT, test=POINTS.test, out=tmp_path / "broken", resume=True) == lines
    assert same(again, whole)
    texts = [(tmp_path / run / "metrics.jsonl").read_bytes() for run in ("whole", "broken")]
    assert texts[0] == texts[1]
    assert [json.loads(line)["step"] for line in texts[0].splitlines()] == [0, 5, 10, 12]


def test_a_finished_run_goes_on_with_more_steps(tmp_path: Path) -> None:
    model = Shift(dk.Criterion("energy"))
    fit(model, DATA, replace(SHORT, steps=10), out=tmp_path)
    longer = Shift(dk.Criterion("energy"))
    fit(longer, DATA, replace(SHORT, steps=20), out=tmp_path, resume=True)
    whole = Shift(dk.Criterion("energy"))
    fit(whole, DATA, replace(SHORT, steps=20))
    assert same(longer, whole)


def test_the_same_call_gives_the_same_model_and_leaves_the_global_state() -> None:
    models = [Shift(dk.Criterion("sinkhorn", epsilon=0.5)) for _ in range(2)]
    for k, model in enumerate(models):
        torch.manual_seed(k)
        before = torch.get_rng_state()
        fit(model, DATA, SHORT)
        assert torch.equal(torch.get_rng_state(), before)
    assert same(*models)


def test_looking_changes_nothing(tmp_path: Path) -> None:
    often, seldom = build("gan", POINTS)[0], build("gan", POINTS)[0]
    fit(often, POINTS.train, replace(SHORT, look=1), out=tmp_path, watch=lambda model, _: model.sample(3))  # type: ignore[operator]
    fit(seldom, POINTS.train, replace(SHORT, look=12))
    assert same(often, seldom)


@pytest.mark.parametrize(
    "criterion", [dk.Criterion("energy"), dk.Criterion("sinkhorn", epsilon=0.5), lambda x, y: (x.mean(0) - y.mean(0)).norm()]
)
def test_three_criteria_in_a_readers_own_model(criterion: Callable[[Any, Any], Tensor]) -> None:
    model = Shift(criterion)
    history = fit(model, DATA, Training(steps=120, batch=64, rate=0.05))
    assert float((model.by.detach() - DATA.mean(0)).norm()) < 0.4  # type: ignore[operator]
    assert history[-1]["objective"] < history[0]["objective"]


def test_critics_get_their_extra_batches() -> None:
    found: dict[int, int] = {}
    for count in (1, 3):
        model = Shift(dk.Criterion("js"))
        fit(model, DATA, Training(steps=4, critic_batches=count, batch=32))
        assert isinstance(model.criterion, dk.Criterion)
        assert model.criterion.solution is not None
        found[count] = model.criterion.solution.steps
    assert found == {1: 4, 3: 12}


def test_every_point_is_seen_once_in_a_pass() -> None:
    seen = []

    class Seeing(Shift):
        def loss(self, x: Tensor) -> Tensor:
            if self.training:
                seen.append(x.clone())
            return super().loss(x)

    fit(Seeing(dk.Criterion("energy")), DATA, Training(steps=20, batch=30))
    for start in (0, 10):
        rows = torch.cat(seen[start : start + 10])
        assert torch.equal(rows[rows[:, 0].argsort()], DATA[DATA[:, 0].argsort()])
    assert not torch.equal(seen[0], seen[10])


def _nan_after(calls: int) -> Callable[[Tensor, Tensor], Tensor]:
    left = [calls]

    def criterion(x: Tensor, y: Tensor) -> Tensor:
        left[0] -= 1
        return (y.mean() - x.mean()).square() * (float("nan") if left[0] < 0 else 1.0)

    return criterion


def test_a_loss_that_is_not_finite_stops_with_the_last_good_checkpoint(tmp_path: Path) -> None:
    model = Shift(_nan_after(10))
    with pytest.raises(NotFinite, match=r"the loss \(nan\) is not finite at step 8; a smaller rate .* is .*checkpoint.pt"):
        fit(model, DATA, SHORT.__class__(steps=50, batch=32, look=5), out=tmp_path)
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] == 5
    assert bool(torch.isfinite(state["parameters"]["by"]).all())


def test_a_gradient_that_is_not_finite_is_not_taken() -> None:
    model = Shift(lambda x, y: (y - y).abs().sum().sqrt())
    with pytest.raises(NotFinite, match="a gradient is not finite at step 0"):
        fit(model, DATA, SHORT)
    assert torch.equal(model.by, torch.zeros(2))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["sinkhorn", "energy", "kl"])
def test_what_a_model_makes_of_finite_data_is_its_fault(name: str, tmp_path: Path) -> None:
    model = Shift(dk.Criterion(name))
    with pytest.raises(NotFinite, match=r"what the model makes is not finite at step 1; a smaller rate than .*checkpoint.pt"):
        fit(model, DATA, replace(SHORT, rate=3e38), out=tmp_path)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 0


LOSSES = {
    "must be a tensor of one number; got 1.0": lambda x, y: 1.0,
    r"must be a tensor of one number; got a tensor of shape \(2,\)": lambda x, y: (x - y).mean(0),
    "its gradient does not reach them": lambda x, y: torch.zeros(()),
}


@pytest.mark.parametrize("message", LOSSES)
def test_a_loss_that_is_none_is_refused(message: str) -> None:
    with pytest.raises(TypeError, match=message):
        fit(Shift(LOSSES[message]), DATA, SHORT)  # type: ignore[arg-type]


def test_a_model_without_a_loss_is_refused() -> None:
    with pytest.raises(TypeError, match=r"model must have a method loss\(batch\) -> scalar; Linear has none."):
        fit(nn.Linear(2, 2), DATA, SHORT)


class _Payload:
    def __reduce__(self) -> Any:
        return os.mkdir, ("payload-ran",)


def _spoil(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "pickle":
        path.write_bytes(pickle.dumps(_Payload()))
    elif how == "version":
        torch.save({"format": "something else"}, path)
    else:
        path.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "noise": b"abc" * 100}[how])


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("truncated", "is damaged, or no checkpoint"),
        ("noise", "is damaged, or no checkpoint"),
        ("empty", "is empty"),
        ("pickle", "is damaged, or no checkpoint"),
        ("version", "no checkpoint of this version: wanted 'divkit training, version 1', got 'something else'"),
    ],
)
def test_spoiled_checkpoints_are_refused(how: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fit(Shift(dk.Criterion("energy")), DATA, SHORT, out=tmp_path)
    _spoil(tmp_path / "checkpoint.pt", how)
    with pytest.raises(ValueError, match=said):
        fit(Shift(dk.Criterion("energy")), DATA, SHORT, out=tmp_path, resume=True)
    assert not (tmp_path / "payload-ran").exists()


@pytest.mark.parametrize("key", ["data", "model", "training", "test"])
def test_checkpoints_of_another_run_are_refused(key: str, tmp_path: Path) -> None:
    fit(Shift(dk.Criterion("energy")), DATA, SHORT, out=tmp_path)
    model = Shift(dk.Criterion("energy" if key != "model" else "w2"))
    data = DATA + 1 if key == "data" else DATA
    training = replace(SHORT, batch=16) if key == "training" else SHORT
    with pytest.raises(ValueError, match=f"is of another {key}"):
        fit(model, data, training, out=tmp_path, resume=True, test=DATA[:20] if key == "test" else DATA)


def test_an_old_run_is_not_overwritten(tmp_path: Path) -> None:
    fit(Shift(dk.Criterion("energy")), DATA, SHORT, out=tmp_path)
    with pytest.raises(ValueError, match=r"exists; continue it with --resume"):
        fit(Shift(dk.Criterion("energy")), DATA, SHORT, out=tmp_path)


def test_resuming_nothing_begins(tmp_path: Path) -> None:
    (tmp_path / ".divkit-stale.pt").write_bytes(b"half a checkpoint")
    assert fit(Shift(dk.Criterion("energy")), DATA, SHORT, out=tmp_path, resume=True)[-1]["step"] == 12


def test_the_rate_halves() -> None:
    first, slower = Shift(lambda x, y: y.mean() * 0 - y.sum()), Shift(lambda x, y: y.mean() * 0 - y.sum())
    fit(first, DATA, Training(steps=30, batch=16, rate=0.01))
    fit(slower, DATA, Training(steps=30, batch=16, rate=0.01, halving=10))
    steps = sum(0.5 ** (k / 10) for k in range(30))
    assert torch.allclose(slower.by / first.by, torch.tensor(steps / 30), rtol=1e-3)  # type: ignore[operator]


def test_what_cannot_be_trained_is_refused() -> None:
    model = Shift(dk.Criterion("energy"))
    model.by.requires_grad_(False)
    with pytest.raises(ValueError, match="no parameters that require a gradient"):
        fit(model, DATA, SHORT)


@pytest.mark.parametrize(
    "field",
    [
        {"steps": 0},
        {"batch": -1},
        {"rate": 0.0},
        {"look": 1.5},
        {"critic_batches": 0},
        {"seed": -1},
        {"betas": (-1, 0)},
        {"halving": 0},
    ],
)
def test_settings_are_checked(field: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(field))):
        Training(**field)


COMMAND = ["train", "gan", "--data", "ring8", "--divergence", "energy", "--seed", "3", "--look", "40"]


def _start(out: Path, steps: int, *more: str) -> subprocess.Popen[str]:
    script = Path(sys.executable).with_name("divkit")
    command = [str(script), *COMMAND, "--steps", str(steps), "--out", str(out), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _reach(out: Path, lines: int) -> None:
    for _ in range(1200):
        if (out / "metrics.jsonl").exists() and len((out / "metrics.jsonl").read_text().splitlines()) >= lines:
            return
        time.sleep(0.05)
    raise AssertionError("the run did not get there")


def test_killed_and_resumed_from_the_command_line(tmp_path: Path) -> None:
    killed = _start(tmp_path / "run", 10_000)
    _reach(tmp_path / "run", 3)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    reached = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"]
    end = reached + 60
    resumed, whole = _start(tmp_path / "run", end, "--resume"), _start(tmp_path / "whole", end)
    for process in (resumed, whole):
        assert process.wait(300) == 0, process.communicate()
    states = [torch.load(tmp_path / run / "checkpoint.pt", weights_only=True) for run in ("run", "whole")]
    assert repr(states[0]) == repr(states[1])
    assert all(torch.equal(a, b) for a, b in zip(*(state["parameters"].values() for state in states)))
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


def test_interrupted_from_the_keyboard(tmp_path: Path) -> None:
    process = _start(tmp_path / "run", 100_000)
    _reach(tmp_path / "run", 2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] >= 40
