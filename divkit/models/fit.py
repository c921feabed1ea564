"""The one training loop, for the models here and the reader's own: resumable to the bit, stopped where a loss is not finite."""

from __future__ import annotations

import json
import math
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from divkit.data.arrays import NonFinite
from divkit.data.measure import Measure
from divkit.models.checkpoint import digest, load, save, sound
from divkit.models.model import criteria, untouched
from divkit.support.checks import at_least, positive, whole
from divkit.support.progress import Progress, silent
from divkit.support.writing import write

__all__ = ["NotFinite", "Training", "fit"]

CHECKPOINT, METRICS = "checkpoint.pt", "metrics.jsonl"
Watch: TypeAlias = Callable[[nn.Module, Mapping[str, float]], None]
WATCHED = 512  # held-out points whose objective is watched, at most: looks should cost less than the steps between them


class NotFinite(ArithmeticError):
    """A loss or gradient became infinite or NaN; the last good checkpoint is kept."""


@dataclass(frozen=True)
class Training:
    """How a model is trained.

    Parameters
    ----------
    steps : int
        Steps of the model's optimiser.
    batch : int
        Points of a step.
    rate : float
        Adam's learning rate, with `betas`.
    halving : float
        Steps in which the rate falls to one half; never by default.
    betas : tuple of float
    critic_batches : int
        Batches that a critic sees for each step of the model, the model's own included.
    look : int
        Steps between looks at the held-out points, each with a line of metrics and a checkpoint.
    seed : int
        Seed of the noise and of the order of the data.
    """

    steps: int = 1000
    batch: int = 64
    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    halving: float = math.inf
    critic_batches: int = 1
    look: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "critic_batches", "look"):
            whole(name, getattr(self, name))
        positive("rate", self.rate)
        if not self.halving > 0:
            raise ValueError(f"halving must be positive; got {self.halving!r}.")
        whole("seed", self.seed, 0)
        for beta in self.betas:
            at_least("betas", beta, 0)


@dataclass
class _Run:
    """A training under way."""

    model: nn.Module
    training: Training
    optimiser: torch.optim.Optimizer
    order: Callable[[int], Tensor]  # index of a batch -> rows
    data: Tensor
    test: Tensor
    identity: Mapping[str, Any]
    out: Path | None
    step: int = 0
    losses: list[float] = field(default_factory=list)  # since the last look
    history: list[dict[str, float]] = field(default_factory=list)


def fit(
    model: nn.Module,
    data: Any,
    training: Training = Training(),
    *,
    test: Any = None,
    out: Path | str | None = None,
    resume: bool = False,
    progress: Progress = silent,
    watch: Watch | None = None,
) -> list[dict[str, float]]:
    """Train a model in place, by Adam.

    The model is any `nn.Module` with a method ``loss(batch) -> scalar``; every `Criterion` among its attributes keeps its
    critic warm, gets its extra batches, and is saved. Everything random inside comes from one seed, torch's global
    generator is left as it was, and a resumed run ends with the same bits as one that was never interrupted.

    Parameters
    ----------
    model : nn.Module
    data : array-like (n, *event)
    training : Training
    test : array-like, optional
        Held-out points whose objective is watched; a part of `data` where there are none.
    out : path, optional
        A directory for the checkpoint and ``metrics.jsonl``, a line for each look.
    resume : bool
        Continue from the checkpoint in `out`, where there is one.
    progress : callable
        Such as `divkit.support.progress.bars`.
    watch : callable
        Called with the model and the line of metrics at each look, after both are written.

    Returns
    -------
    list of dict
        The lines of metrics: step, loss (mean since the last look), objective (of the held-out points).

    Raises
    ------
    ValueError
        Where `out` holds a checkpoint and `resume` is not set, or one that does not belong to this model, data and training.
    NotFinite
        Where a loss or a gradient is not finite.

    Examples
    --------
    >>> import torch, divkit as dk
    >>> class Shift(torch.nn.Module):
    ...     def __init__(self, criterion):
    ...         super().__init__()
    ...         self.criterion, self.by = criterion, torch.nn.Parameter(torch.zeros(2))
    ...     def loss(self, x):
    ...         return self.criterion(x, torch.randn_like(x) + self.by)
    >>> data = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)) + torch.tensor([2.0, -1.0])
    >>> plain = lambda x, y: (x.mean(0) - y.mean(0)).norm()
    >>> for criterion in (dk.Criterion("energy"), dk.Criterion("sinkhorn", epsilon=0.5), plain):
    ...     model = Shift(criterion)
    ...     history = dk.models.fit(model, data, dk.models.Training(steps=150, rate=0.05))
    ...     print([round(v) for v in model.by.tolist()])
    [2, -1]
    [2, -1]
    [2, -1]
    """
    if not callable(getattr(model, "loss", None)):
        raise TypeError(f"model must have a method loss(batch) -> scalar; {type(model).__name__} has none.")
    points = _points(data)
    watched = (points if test is None else _points(test))[:WATCHED]
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("model has no parameters that require a gradient; there is nothing to train.")
    fused = all(p.is_floating_point() for p in parameters)
    optimiser = torch.optim.Adam(parameters, lr=training.rate, betas=training.betas, fused=fused)
    settings = {key: value for key, value in asdict(training).items() if key != "steps"}
    identity = {"training": repr(settings), "model": _architecture(model), "data": digest(points), "test": digest(watched)}
    order = _Order(len(points), training.batch, training.seed)
    if out is not None:
        out = Path(out)
        out.mkdir(parents=True, exist_ok=True)
    run = _Run(model, training, optimiser, order, points, watched, identity, out)
    with torch.random.fork_rng(devices=[]), ExitStack() as stack:
        torch.manual_seed(training.seed)
        _begin(run, resume)
        stopped = stack.enter_context(_interruptible())
        done = stack.enter_context(progress("training", training.steps))
        done(run.step)
        if not run.history:
            _look(run, watch)
        while run.step < training.steps and not stopped():
            run.losses.append(_step(run))
            run.step += 1
            done(1)
            if run.step % training.look == 0 or run.step == training.steps:
                _look(run, watch)
        if stopped():
            _save(run)
            raise KeyboardInterrupt
    return run.history


def _points(data: Any) -> Tensor:
    """Return array-like data as a tensor (n, *event)."""
    return Measure(data).parts[0].detach()


def _step(run: _Run) -> float:
    """Take one step of the model, after its critics' extra batches; return the loss."""
    model, count = run.model, run.training.critic_batches
    model.train()
    stateful = criteria(model)
    for extra in range(count - 1):
        with torch.no_grad(), ExitStack() as stack:
            for criterion in stateful.values():
                stack.enter_context(criterion.ascending())
            if stateful:
                stack.enter_context(_blamed(run))
                model.loss(run.data[run.order(run.step * count + extra)])  # type: ignore[operator]
    run.optimiser.zero_grad(set_to_none=True)
    batch = run.data[run.order(run.step * count + count - 1)]
    with _blamed(run):
        loss = _number(model.loss(batch))  # type: ignore[operator]
    if not loss.requires_grad:
        raise TypeError("loss(batch) must depend on the model's parameters; its gradient does not reach them.")
    if not bool(torch.isfinite(loss)):
        raise _failure(run, f"the loss ({float(loss.detach())})")
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    if not bool(torch.isfinite(torch.nn.utils.get_total_norm(gradients))):
        raise _failure(run, "a gradient")
    for group in run.optimiser.param_groups:
        group["lr"] = run.training.rate * 0.5 ** (run.step / run.training.halving)
    run.optimiser.step()
    return float(loss.detach())


def _number(loss: Any) -> Tensor:
    """Return a model's loss, or raise TypeError where it is no tensor of one number."""
    if isinstance(loss, Tensor) and loss.numel() == 1:
        return loss
    value = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
    raise TypeError(f"loss(batch) must be a tensor of one number; got {value}.")


@contextmanager
def _blamed(run: _Run) -> Iterator[None]:
    """Blame the model for what a divergence refuses as not finite: the data are finite."""
    try:
        yield
    except NonFinite as error:
        raise _failure(run, "what the model makes") from error
    except ValueError as error:
        if _sound(run):
            raise
        raise _failure(run, "a parameter") from error


def _sound(run: _Run) -> bool:
    """Return whether the model and its criteria are without NaN."""
    return sound(run.model.state_dict()) and sound({key: one.state_dict() for key, one in criteria(run.model).items()})


def _failure(run: _Run, what: str) -> NotFinite:
    """Return the error that says what is not finite, and where the last good checkpoint is."""
    last = "" if run.out is None else f" The last good checkpoint is {run.out / CHECKPOINT}."
    return NotFinite(f"{what} is not finite at step {run.step}; a smaller rate than {run.training.rate:g} may help.{last}")


def _look(run: _Run, watch: Watch | None) -> None:
    """Judge the held-out points, write the line, then the checkpoint."""
    objective = getattr(run.model, "objective", run.model.loss)
    with untouched(run.model, run.training.seed), _blamed(run):
        value = objective(run.test)  # type: ignore[operator]
        line = {"step": run.step, "objective": float(value if isinstance(value, int | float) else _number(value))}
    if run.losses:
        line["loss"] = sum(run.losses) / len(run.losses)
    run.losses.clear()
    run.history.append(line)
    if run.out is not None:
        write(run.out / METRICS, "".join(json.dumps(_finite(line)) + "\n" for line in run.history).encode())
        _save(run)
    if watch is not None:
        with untouched(run.model, run.training.seed):
            watch(run.model, line)


def _finite(line: Mapping[str, float]) -> dict[str, float | None]:
    """Return a line of metrics with None for NaN and infinity, which are no JSON."""
    return {key: value if math.isfinite(value) else None for key, value in line.items()}


def _save(run: _Run) -> None:
    """Write the state, unless some of it is not finite."""
    if run.out is None:
        return
    if not _sound(run):
        raise _failure(run, "a parameter")
    state = {
        **run.identity,
        "step": run.step,
        "parameters": run.model.state_dict(),
        "criteria": {key: one.state_dict() for key, one in criteria(run.model).items()},
        "optimiser": run.optimiser.state_dict(),
        "generator": torch.get_rng_state(),
        "losses": run.losses,
        "history": run.history,
    }
    save(run.out / CHECKPOINT, state)


def _begin(run: _Run, resume: bool) -> None:
    """Continue from the checkpoint where there is one and `resume` is set."""
    path = None if run.out is None else run.out / CHECKPOINT
    if path is None or not path.exists():
        return
    if not resume:
        raise ValueError(f"{path} exists; continue it with --resume (resume=True), or choose another directory.")
    state = load(path)
    for key, value in run.identity.items():
        if state[key] != value:
            raise ValueError(f"{path} is of another {key}: it holds {state[key]}, this run has {value}.")
    run.model.load_state_dict(state["parameters"])
    run.optimiser.load_state_dict(state["optimiser"])
    for key, one in criteria(run.model).items():
        one.load_state_dict(state["criteria"][key])
    torch.set_rng_state(state["generator"])
    run.step, run.losses, run.history = state["step"], state["losses"], state["history"]


def _architecture(model: nn.Module) -> str:
    """Return a short text of the model, its criteria and the shapes of its parameters."""
    shapes = " ".join(f"{key}{tuple(value.shape)}" for key, value in model.state_dict().items())
    losses = " ".join(f"{key}={one!r}" for key, one in criteria(model).items())
    return re.sub(r" at 0x[0-9a-f]+", "", f"{type(model).__name__} {shapes} {losses}")  # addresses differ from run to run


class _Order:
    """The rows of each batch: each pass over the data has a permutation that depends on seed and number of the pass alone."""

    def __init__(self, n: int, batch: int, seed: int) -> None:
        self.n, self.batch, self.seed = n, min(batch, n), seed
        self.drawn: tuple[int, Tensor] = (-1, torch.empty(0))

    def __call__(self, index: int) -> Tensor:
        whole_pass, place = divmod(index, self.n // self.batch)
        if whole_pass != self.drawn[0]:
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + whole_pass) % 2**63)
            self.drawn = whole_pass, torch.randperm(self.n, generator=generator)
        return self.drawn[1][place * self.batch : (place + 1) * self.batch]


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C end the step that is under way first; a second one does not wait."""
    interrupted = False
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def remember(number: int, frame: Any) -> None:
        nonlocal interrupted
        if interrupted:
            raise KeyboardInterrupt
        interrupted = True

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: interrupted
    finally:
        signal.signal(signal.SIGINT, before)
