"""Training of critics: stochastic gradient ascent with early stopping, and warm steps within a training loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from divkit.core.estimate import Solution, Status, Terms
from divkit.critic.logit_network import parameter_groups
from divkit.critic.optimisers import ADAM, Optimiser
from divkit.critic.penalties import Penalty
from divkit.critic.splits import variance_of_mean
from divkit.data.measure import Measure
from divkit.support.checks import at_least, between, positive, whole

__all__ = ["Ascent", "Look", "Stopping", "Task", "ascend", "copied", "refresh", "score"]

Objective = Callable[[Tensor, Tensor, Measure, Measure], Terms]  # scores of x and y -> the bound that the critic maximises
Witness = Callable[[nn.Module, Measure], Callable[[Measure], Tensor]]  # network, y -> the function of a point that is penalised


@dataclass(frozen=True)
class Ascent:
    """Settings of a critic's training.

    Parameters
    ----------
    folds : int
        Critics for cross-fitting: every row is judged by one that did not see it.
    steps : int
        At most, for each critic.
    batch : int
        Rows of each side in a step.
    rate : float
        Adam's.
    patience : int
        Looks at the held-out rows, one every 25 steps, without progress before stopping.
    held : float
        The share of the training rows held out for early stopping and calibration.
    warm : int
        Steps on each batch of a training loop.
    optimiser : Adam or RMSProp
        Of these warm steps; a solve uses Adam with its usual moments.
    doubt : float
        How much of the usual evidence, 1.5 + 18/√rows standard errors on held-out rows, must speak for the trained critic over
        the one it started from: 1 where a critic that fits noise ruins the value, 0 where it cannot and the start is any
        function, which a few held-out rows must not choose.
    seed : int
    """

    folds: int = 5
    steps: int = 4000
    batch: int = 512
    rate: float = 3e-3
    patience: int = 4
    held: float = 0.2
    warm: int = 1
    optimiser: Optimiser = ADAM
    doubt: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        whole("folds", self.folds, 2)
        for name in ("steps", "batch", "patience", "warm"):
            whole(name, getattr(self, name))
        positive("rate", self.rate)
        at_least("doubt", self.doubt, 0)
        between("held", self.held, 0, 1)


@dataclass(frozen=True)
class Stopping:
    """Settings of when a critic counts as improved, judged at looks at the held-out rows.

    Attributes
    ----------
    every : int
        Steps between two looks.
    stderrs, gain : float
        Progress is a gain of more standard errors than this, and of more than this in the objective's units (nats for a logit).
    evidence, doubt : float
        evidence + doubt/√(held-out rows) standard errors must speak for the trained critic over the one it started from. The
        best of many looks at few rows gains by chance, and a critic that fits noise ruins unbounded divergences in the tails.
    """

    every: int = 25
    stderrs: float = 0.1
    gain: float = 2e-4
    evidence: float = 1.5
    doubt: float = 18.0

    def progress(self, look: Look, best: Look) -> bool:
        """Say whether a look gained enough over the best one before for training to go on."""
        return look.value - best.value > self.gain and look.gain(best) > self.stderrs

    def needed(self, rows: int) -> float:
        """Return the standard errors that must speak for the trained critic, on so many held-out rows."""
        return self.evidence + self.doubt / math.sqrt(rows)


class Task(NamedTuple):
    """The problem that a critic is trained for, and when it counts as improved."""

    objective: Objective
    penalty: Penalty
    witness: Witness
    stopping: Stopping = Stopping()

    def loss(self, network: nn.Module, x: Measure, y: Measure, generator: torch.Generator) -> Tensor:
        """Return what a step descends: the penalty less the objective."""
        value = self.objective(*_scores(network, x, y), x, y).value(x, y)
        return self.penalty(self.witness(network, y), x, y, generator) - value

    def project(self, network: nn.Module) -> None:
        """Cut the parameters to the penalty's limit, in place."""
        self.penalty.project(network)


def score(network: nn.Module, m: Measure) -> Tensor:
    """Return scores (n,), or features (n, k), of a measure's points."""
    out: Tensor = network(*m.parts)
    return out[:, 0] if out.ndim == 2 and out.shape[1] == 1 else out


def _scores(network: nn.Module, x: Measure, y: Measure) -> tuple[Tensor, Tensor]:
    """Return the scores of both sides by one pass, unless the network is one whose rows see each other."""
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules()):
        return score(network, x), score(network, y)
    s, t = score(network, x.cat(y)).split([x.n, y.n])  # type: ignore[no-untyped-call]
    return s, t


def ascend(
    network: nn.Module,
    task: Task,
    fit: tuple[Measure, Measure],
    held: tuple[Measure, Measure],
    how: Ascent,
    seed: int,
) -> tuple[Status, int]:
    """Train a network in place, and leave it as it was best on the held-out rows; return the status and the steps taken.

    Where `how.doubt` is not zero the start is one of the states to choose from, and wins ties.
    """
    if not any(True for _ in network.parameters()):
        return Status.CONVERGED, 0
    generator = torch.Generator(device="cpu").manual_seed(seed)
    x, y = fit
    optimiser = torch.optim.Adam(parameter_groups(network, x.n + y.n), lr=how.rate, fused=True)
    task.project(network)
    start, weights_at_start = _look(network, task, held), copied(network)
    best, best_weights, stale, step = start, weights_at_start, 0, 0
    status = Status.MAX_STEPS
    while step < how.steps:
        network.train()
        for _ in range(min(task.stopping.every, how.steps - step)):
            p, q = (_batch(m, how.batch, generator) for m in (x, y))
            optimiser.zero_grad(set_to_none=True)
            with torch.enable_grad():
                task.loss(network, p, q, generator).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            task.project(network)
            step += 1
        look = _look(network, task, held)
        if not math.isfinite(look.value):
            status = Status.NONFINITE
            break
        stale += 1
        if look.value > best.value or (how.doubt == 0 and best is start):
            stale = 0 if task.stopping.progress(look, best) else stale
            best, best_weights = look, copied(network)
        if stale >= how.patience:
            status = Status.CONVERGED
            break
    improved = how.doubt == 0 or best.gain(start) > how.doubt * task.stopping.needed(held[0].n + held[1].n)
    network.load_state_dict(best_weights if improved else weights_at_start)
    network.eval()
    return status, step


def refresh(network: nn.Module, task: Task, sides: tuple[Measure, Measure], how: Ascent, before: Solution) -> dict[str, Any]:
    """Take a few warm steps on one batch, in place, with the moments of the solution before; return the moments after."""
    optimiser = how.optimiser(network.parameters(), how.rate)
    moments = before.state.get("moments")
    if moments is not None:
        optimiser.load_state_dict({"state": _keyed(moments), "param_groups": optimiser.state_dict()["param_groups"]})
    generator = torch.Generator().manual_seed((how.seed << 32) + before.steps)
    network.train()
    for _ in range(how.warm):
        optimiser.zero_grad(set_to_none=True)
        with torch.enable_grad():
            task.loss(network, *sides, generator).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        task.project(network)
    network.eval()
    return {str(key): dict(value) for key, value in optimiser.state_dict()["state"].items()}


class Look:
    """The objective on held-out rows: its value less the penalty, and its terms for paired comparisons."""

    def __init__(self, terms: Terms, p: Measure, q: Measure, penalty: float = 0.0) -> None:
        self.terms, self.p, self.q = terms, p, q
        self.value = float(terms.value(p, q)) - penalty

    def gain(self, other: Look) -> float:
        """Return the difference to another look in its standard errors; 0 where both are the same."""
        variance = variance_of_mean(self.p, self.terms.x - other.terms.x)
        variance += variance_of_mean(self.q, self.terms.y - other.terms.y)
        return (self.value - other.value) / math.sqrt(variance) if variance > 0 else 0.0


@torch.no_grad()
def _look(network: nn.Module, task: Task, held: tuple[Measure, Measure]) -> Look:
    """Return the objective of a network on held-out rows."""
    network.eval()
    p, q = held
    generator = torch.Generator().manual_seed(0)  # every look penalises the same points
    penalty = task.penalty(task.witness(network, q), p, q, generator)
    return Look(task.objective(score(network, p), score(network, q), p, q), p, q, float(penalty))


def _batch(m: Measure, size: int, generator: torch.Generator) -> Measure:
    """Return a batch of rows drawn with replacement; all rows where there are no more."""
    if m.n <= size:
        return m
    return m.take(torch.randint(m.n, (size,), generator=generator).to(m.device))


def copied(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a network's parameters and buffers."""
    return {key: value.detach().clone() for key, value in network.state_dict().items()}


def _keyed(moments: Mapping[str, Any]) -> dict[int, Any]:
    """Return copies of an optimiser's moments under the keys of torch, which are numbers."""
    return {int(key): {name: value.clone() for name, value in state.items()} for key, state in moments.items()}
