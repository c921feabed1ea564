"""The one critic class: a dual's witness is trained, cross-fitted, calibrated, and evaluated on rows it did not see."""

from __future__ import annotations

import math
import warnings
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from divkit.critic.ascent import Ascent, ascend, refresh, score
from divkit.critic.networks import Factory, LogitNetwork, build
from divkit.divergence import Divergence
from divkit.measure import Measure
from divkit.results import Bias, Solution, Status, Terms

__all__ = ["Calibration", "Dual", "TrainingDiverged", "Variational"]

LEAST = 10  # rows on each side for a test: five train the critic, five judge it

Scores = Callable[[Measure], Tensor]
Sides = tuple[Measure, Measure]


class TrainingDiverged(UserWarning):
    """A critic's objective stopped being finite; its last finite state was kept."""


class Calibration(NamedTuple):
    """What is done to a critic's scores before they are used: slope · score + shift, cut to [low, high]."""

    slope: float = 1.0
    shift: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    settled: bool = True  # first-order conditions hold on the inner split

    def __call__(self, scores: Tensor) -> Tensor:
        return (self.slope * scores + self.shift).clamp(self.low, self.high)


class Dual(ABC):
    """A variational form of a divergence: what a critic maximises, what is reported, what a model minimises."""

    name: str
    bias: Bias = Bias.BELOW

    @property
    @abstractmethod
    def problem(self) -> Hashable:
        """Describe what the critic is trained for."""

    @abstractmethod
    def ascend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        """What the critic maximises, of scores s (n,) and t (m,)."""

    def terms(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        """What is reported."""
        return self.ascend(s, t, x, y)

    def descend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Tensor:
        """What a model minimises."""
        return self.terms(s, t, x, y).value(x, y)

    def calibrate(self, scores: Scores, fit: Sides, held: Sides) -> Calibration:
        """Improve a trained critic's scores from the rows it was trained with."""
        return Calibration()


@dataclass(frozen=True)
class Variational(Divergence):
    """A divergence as the best value of a dual over critics.

    `solve` cross-fits: the rows are cut into folds, and for each fold a critic is trained on the others, stopped early and
    calibrated on an inner split; `terms` evaluates every row by the critic that did not see it, so that the held-out value is
    a lower bound in expectation.

    Parameters
    ----------
    dual : Dual
    critic : callable
        From the event shapes of a point's parts to an `nn.Module` that returns one number per point.
    ascent : Ascent
    """

    quadratic: ClassVar[bool] = False

    dual: Dual
    critic: Factory = LogitNetwork
    ascent: Ascent = Ascent()

    @property
    def name(self) -> str:
        return self.dual.name

    @property
    def bias(self) -> Bias:
        return self.dual.bias

    @property
    def problem(self) -> Hashable:
        return type(self), self.dual.problem, self.critic, self.ascent

    def solve(self, x: Measure, y: Measure, start: Solution | None = None) -> Solution:
        generator = torch.Generator().manual_seed(self.ascent.seed)
        folds = _folds(x, self.ascent.folds, generator), _folds(y, self.ascent.folds, generator)
        critics, calibrations, statuses, steps = [], [], [], 0
        for k in range(self.ascent.folds):
            other_x, other_y = (m.take((fold != k).nonzero()[:, 0]) for m, fold in zip((x, y), folds))
            network, calibration, status, taken = self._train(other_x, other_y, self.ascent.seed + k, generator)
            critics.append({key: value.clone() for key, value in network.state_dict().items()})
            calibrations.append(calibration[:4])
            statuses.append(status)
            steps += taken
        worst = max(statuses, key=list(Status).index)
        unsolved = sum(status is not Status.CONVERGED for status in statuses) / len(statuses)
        table = torch.tensor(calibrations, dtype=torch.float64)
        return Solution(
            {"critics": critics, "calibration": table, "fold_x": folds[0], "fold_y": folds[1]}, worst, steps, unsolved
        )

    def _train(
        self, x: Measure, y: Measure, seed: int, generator: torch.Generator
    ) -> tuple[nn.Module, Calibration, Status, int]:
        """One critic from all of these rows: early stopped and calibrated on an inner split."""
        (fit_x, held_x), (fit_y, held_y) = (_split(m, self.ascent.held, generator) for m in (x, y))
        fit, held = (fit_x, fit_y), (held_x, held_y)
        network = build(self.critic, x, seed)
        if isinstance(network, LogitNetwork):
            network.start(fit, held)
            embedded = [(network.embed(p), network.embed(q)) for p, q in (fit, held)]
            status, steps = ascend(network.head(), self.dual.ascend, embedded[0], embedded[1], self.ascent, seed)
        else:
            status, steps = ascend(network, self.dual.ascend, fit, held, self.ascent, seed)
        if status is Status.NONFINITE:
            warnings.warn(f"{self.name}: a critic's objective became infinite or NaN.", TrainingDiverged, stacklevel=2)
        with torch.no_grad():
            calibration = self.dual.calibrate(lambda m: score(network, m), fit, held)
        if status is Status.CONVERGED and not calibration.settled:
            status = Status.STALLED
        return network, calibration, status, steps

    def advance(self, x: Measure, y: Measure, solution: Solution | None) -> Solution:
        """Improve one critic on this batch by a few warm steps, without folds."""
        network = build(self.critic, x, self.ascent.seed)
        if solution is not None and len(solution.state["critics"]) == 1:
            network.load_state_dict(solution.state["critics"][0])
        elif isinstance(network, LogitNetwork):
            network.standardise(x, y)
        before = {} if solution is None else solution.state
        moments = refresh(network, self.dual.ascend, x, y, self.ascent, before.get("moments"))
        critic = {key: value.detach().clone() for key, value in network.state_dict().items()}
        calibration = torch.tensor([Calibration()[:4]], dtype=torch.float64)
        steps = self.ascent.warm + (0 if solution is None else solution.steps)
        return Solution({"critics": [critic], "calibration": calibration, "moments": moments}, steps=steps)

    def scores(self, m: Measure, solution: Solution, side: str) -> Tensor:  # -> (n,)
        """Calibrated scores, each row's by the critic that did not see it; `side` is x or y."""
        parts = list(self._by_fold(m, solution, side))
        if len(parts) == 1:
            return parts[0][1]
        out = torch.zeros(m.n, dtype=parts[0][1].dtype, device=m.device)
        for rows, values in parts:
            out = out.index_put((rows,), values)
        return out

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        return self.dual.terms(self.scores(x, solution, "x"), self.scores(y, solution, "y"), x, y)

    def descend(self, x: Measure, y: Measure, solution: Solution) -> Tensor:
        return self.dual.descend(self.scores(x, solution, "x"), self.scores(y, solution, "y"), x, y)

    def null(self, pooled: Measure, labels: Tensor) -> Tensor:
        """Relabel held-out rows: one critic is trained on half of the rows with their observed labels (row 0).

        Given that half, the other half's labels are exchangeable under P = Q at fixed numbers of each side; every other row of
        `labels` stands for one such relabelling, drawn from a seed that is a checksum of it.
        """
        generator = torch.Generator().manual_seed(self.ascent.seed)
        observed = labels[0].cpu()
        train = torch.zeros(pooled.n, dtype=torch.bool)
        for side in (observed, ~observed):
            rows = side.nonzero()[:, 0]
            if len(rows) < LEAST:
                raise ValueError(
                    f"Found array with {len(rows)} sample(s) while a minimum of {LEAST} is required: testing a trained critic."
                )
            train[rows[torch.randperm(len(rows), generator=generator)[: len(rows) // 2]]] = True
        x, y = (pooled.take((train & side).nonzero()[:, 0].to(pooled.device)) for side in (observed, ~observed))
        network, calibration, _, _ = self._train(x, y, self.ascent.seed, generator)
        rest, kept = pooled.take((~train).nonzero()[:, 0].to(pooled.device)), observed[~train]
        results = torch.empty(len(labels), dtype=torch.float64)
        with torch.no_grad():
            values = calibration(score(network, rest))
            for b, row in enumerate(labels.cpu()):
                shuffle = torch.Generator().manual_seed(zlib.crc32(row.numpy().tobytes()))
                label = kept[torch.randperm(len(kept), generator=shuffle)] if b else kept
                p, q = (rest.take(side.nonzero()[:, 0].to(rest.device)) for side in (label, ~label))
                results[b] = self.dual.terms(values[label], values[~label], p, q).value(p, q)
        return results

    def _by_fold(self, m: Measure, solution: Solution, side: str) -> Iterator[tuple[Tensor, Tensor]]:
        state = solution.state
        for k, weights in enumerate(state["critics"]):
            network = self._network(m, weights)
            rows = (state[f"fold_{side}"] == k).nonzero()[:, 0] if f"fold_{side}" in state else torch.arange(m.n)
            part = m.take(rows) if f"fold_{side}" in state else m
            yield rows, Calibration(*state["calibration"][k].tolist())(score(network, part))

    def _network(self, m: Measure, weights: dict[str, Tensor]) -> nn.Module:
        network = build(self.critic, m, self.ascent.seed)
        network.load_state_dict(weights)
        for parameter in network.parameters():
            parameter.requires_grad_(False)
        return network.eval()

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "dual": self.dual.name,
            "critic": getattr(self.critic, "__name__", repr(self.critic)),
            **{f"ascent.{key}": getattr(self.ascent, key) for key in self.ascent.__dataclass_fields__},
        }


def _folds(m: Measure, count: int, generator: torch.Generator) -> Tensor:  # -> (n,) long
    """Each row's fold, of equal sizes, at random."""
    if m.n < 2 * count:
        raise ValueError(
            f"Found array with {m.n} sample(s) while a minimum of {2 * count} is required: {count}-fold cross-fitting."
        )
    order = torch.randperm(m.n, generator=generator)
    folds = torch.empty(m.n, dtype=torch.long)
    folds[order] = torch.arange(m.n) % count
    return folds.to(m.device)


def _split(m: Measure, held: float, generator: torch.Generator) -> tuple[Measure, Measure]:
    """Cut the rows at random into those that fit and those held out."""
    order = torch.randperm(m.n, generator=generator).to(m.device)
    cut = max(1, round(held * m.n))
    if not m.uniform:  # a side without mass cannot be trained on or judged
        for part in (order[cut:], order[:cut]):
            if not float(m.weights[part].sum()) > 0:
                raise ValueError("the weights leave a fold without mass; too few rows have weight.")
    return m.take(order[cut:]), m.take(order[:cut])
