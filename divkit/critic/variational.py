"""The estimator by a trained critic: it is cross-fitted, calibrated, and evaluated on rows that it did not see."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from divkit.core.divergence import Divergence, describe
from divkit.core.estimate import Bias, Solution, Status, Terms
from divkit.core.notes import Note, Notes
from divkit.core.uncertainty import Remainder
from divkit.critic.abilities import (
    Bounded,
    Calibrated,
    Calibration,
    Certifying,
    CriticBiased,
    Rescaled,
    ScorePair,
    Scores,
    Sides,
)
from divkit.critic.ascent import Ascent, Look, Task, ascend, copied, refresh, score
from divkit.critic.choice import Choice, factories
from divkit.critic.dual import Dual, FeatureDual, diagnosed
from divkit.critic.logit_network import LogitNetwork
from divkit.critic.networks import Factory, build, restore
from divkit.critic.penalties import FREE, Penalty
from divkit.critic.relabelling import relabelled
from divkit.critic.splits import bernstein, cut_folds, inner_split, of_training
from divkit.critic.staged import Staged
from divkit.data.measure import Measure
from divkit.support.warnings import caution

__all__ = ["TrainingDiverged", "Variational"]


class TrainingDiverged(UserWarning):
    """A critic's objective stopped being finite; its last finite state was kept."""


@dataclass(frozen=True)
class Variational(Divergence):
    """A divergence as the largest value of a dual over critics.

    `solve` cross-fits: the rows are cut into folds, and for each fold a critic is trained on the others, stopped early and
    calibrated on an inner split; `terms` evaluates every row by the critic that did not see it, so that the held-out value is
    a lower bound in expectation. Derivatives hold the critic fixed: the first is that of the divergence where the critic is the
    best (envelope theorem), a second one lacks what the critic's own change would add.

    Parameters
    ----------
    dual : Dual
    critic : callable or Choice
        From the event shapes of a point's parts to an `nn.Module` that returns one number per point; of a `Choice` the best on
        an inner split.
    ascent : Ascent
    penalty : Penalty
        On the critic's gradient or weights; none by default.
    """

    dual: Dual
    critic: Factory | Choice = LogitNetwork
    ascent: Ascent = Ascent()
    penalty: Penalty = FREE

    @property
    def quadratic(self) -> bool:  # type: ignore[override]
        return isinstance(self.dual, Certifying)  # which takes all pairs of points

    @property
    def name(self) -> str:
        return self.dual.name

    @property
    def bias(self) -> Bias:
        return self.dual.bias_with(self.critic) if isinstance(self.dual, CriticBiased) else self.dual.bias

    @property
    def problem(self) -> Hashable:
        return type(self), self.dual.problem, self.critic, self.ascent, self.penalty

    @property
    def _task(self) -> Task:
        """The problem that each critic is trained for."""
        witness = self.dual.witness if isinstance(self.dual, FeatureDual) else _scores
        return Task(self.dual.ascend, self.penalty, witness)

    def solve(self, x: Measure, y: Measure, start: Solution | None = None) -> Solution:
        generator = torch.Generator().manual_seed(self.ascent.seed)
        folds = cut_folds(x, self.ascent.folds, generator), cut_folds(y, self.ascent.folds, generator)
        return self.crossfit(x, y, folds, generator)

    def crossfit(self, x: Measure, y: Measure, folds: tuple[Tensor, Tensor], generator: torch.Generator) -> Solution:
        """Return the solution with a critic for each fold, trained on the others; rows have folds (n,) and (m,), long."""
        trained = []
        for k in range(self.ascent.folds):
            other_x, other_y = (m.take((fold != k).nonzero()[:, 0]) for m, fold in zip((x, y), folds))
            trained.append(self._train(other_x, other_y, self.ascent.seed + k, generator))
        statuses = [result.status for result in trained]
        lower: float | None = None
        notes: Notes = {}
        if isinstance(self.dual, Certifying):
            lower, notes = self.dual.certify([result.critic.scores for result in trained], x, y)
        state = {
            "critics": [copied(result.critic.network) for result in trained],
            "choice": [result.choice for result in trained],
            "calibration": torch.tensor([result.critic.numbers for result in trained], dtype=torch.float64),
            "fold_x": folds[0],
            "fold_y": folds[1],
        }
        worst = max(statuses, key=list(Status).index)
        unsolved = sum(status is not Status.CONVERGED for status in statuses) / len(statuses)
        return Solution(state, worst, sum(result.steps for result in trained), unsolved, lower, notes=notes)

    def _train(self, x: Measure, y: Measure, seed: int, generator: torch.Generator) -> _Trained:
        """Return one critic trained on all of these rows: stopped early, calibrated and, of several, chosen on an inner split.

        A later critic must beat those before it, which are simpler, by a standard error on the inner split.
        """
        (fit_x, held_x), (fit_y, held_y) = (inner_split(m, self.ascent.held, generator) for m in (x, y))
        fit, held = (fit_x, fit_y), (held_x, held_y)
        best: _Trained | None = None
        for choice in range(len(factories(self.critic))):
            result = self._train_one(choice, fit, held, seed)
            if best is None or result.look.gain(best.look) > 1:
                best = result
        assert best is not None  # a Choice has at least one
        return best

    def _train_one(self, choice: int, fit: Sides, held: Sides, seed: int) -> _Trained:
        """Return the critic of one factory, trained on the rows `fit`, stopped and calibrated on the rows `held`."""
        network = build(factories(self.critic)[choice], fit[0], seed, features=isinstance(self.dual, FeatureDual))
        if isinstance(network, Staged):
            network.start(fit, held)
        if isinstance(network, Staged) and (network.isometric or not self.penalty.slopes):
            embedded = [(network.embed(p), network.embed(q)) for p, q in (fit, held)]
            dual = self.dual.in_units(network.unit) if isinstance(self.dual, Rescaled) else self.dual
            task = self._task._replace(objective=dual.ascend)
            status, steps = ascend(network.head(), task, embedded[0], embedded[1], self.ascent, seed)
        else:
            status, steps = ascend(network, self._task, fit, held, self.ascent, seed)
        network.eval()
        if status is Status.NONFINITE:
            caution(f"{self.name}: a critic's objective became infinite or NaN.", TrainingDiverged)
        with torch.no_grad():
            calibration = Calibration()
            if isinstance(self.dual, Calibrated):
                calibration = self.dual.calibrate(lambda m: score(network, m), fit, held)
            s, t = (calibration(score(network, m)) for m in held)
            look = Look(self.dual.ascend(s, t, *held), *held)
        if status is Status.CONVERGED and not calibration.settled:
            status = Status.STALLED
        return _Trained(_Critic(network.requires_grad_(False), calibration), choice, status, steps, look)

    def advance(self, x: Measure, y: Measure, solution: Solution | None) -> Solution:
        """Return the solution with one critic, improved on this batch by a few warm steps, without folds."""
        if isinstance(self.critic, Choice):
            raise ValueError("a training loop's batches cannot choose a critic; give one of them, not a Choice.")
        if solution is not None and len(solution.state["critics"]) == 1:
            network = restore(self.critic, x, solution.state["critics"][0])
        else:
            network = build(self.critic, x, self.ascent.seed, features=isinstance(self.dual, FeatureDual))
            if isinstance(network, Staged):
                network.standardise(x, y)
        before = solution or Solution()
        moments = refresh(network, self._task, (x, y), self.ascent, before)
        calibration = torch.tensor([_Critic(network, Calibration()).numbers], dtype=torch.float64)
        state = {"critics": [copied(network)], "choice": [0], "calibration": calibration, "moments": moments}
        return Solution(state, steps=before.steps + self.ascent.warm)

    def scores(self, m: Measure, solution: Solution, side: str) -> Tensor:  # -> (n,)
        """Return calibrated scores, each row's by the critic that did not see it; `side` is x or y."""
        return _joined(m, self._by_fold(self._critics(m, solution), m, solution, side))

    def _both(self, x: Measure, y: Measure, solution: Solution, cut: bool = True) -> ScorePair:
        """Return the scores of both sides, calibrated but for the cuts unless `cut`."""
        critics = self._critics(x, solution, cut)
        s, t = (_joined(m, self._by_fold(critics, m, solution, side)) for m, side in ((x, "x"), (y, "y")))
        return s, t

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        per_fold = isinstance(self.dual, FeatureDual)
        terms = self._per_fold(x, y, solution) if per_fold else self._together(x, y, solution)
        with torch.no_grad():
            critics = self._critics(x, solution)
            values = [float(self.dual.terms(critic(x), critic(y), x, y).value(x, y)) for critic in critics]
        training = of_training(values, stable=True)
        notes = {**terms.notes, Note.STDERR_OF_TRAINING: training}
        return terms._replace(rest=terms.rest.and_noise(training), notes=notes)

    def _together(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        """Return the terms of all folds' scores at once."""
        raw = self._both(x, y, solution, cut=False)
        s, t = (scores.clamp(*_ends(scores, solution, side)) for scores, side in zip(raw, "xy"))
        terms = diagnosed(self.dual, s, t, x, y, (raw[0] - s, raw[1] - t))
        if isinstance(self.dual, Bounded) and x.uniform and y.uniform:
            spans = self.dual.spans(s.dtype, x, y)
            if all(map(math.isfinite, spans)):
                parts = [(terms.x, solution.state.get("fold_x")), (terms.y, solution.state.get("fold_y"))]
                least = max(sum(bernstein(*part, span) for part, span in zip(parts, spans)), self.dual.least)
                return terms._replace(notes={**terms.notes, Note.LOWER_FINITE_SAMPLE: least})
        return terms

    def _per_fold(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        """Return the terms of each fold by itself, in shares of the fold's mass in x."""
        a, b = (torch.zeros(m.n, dtype=torch.float64, device=m.device) for m in (x, y))
        second, critics = 0.0, self._critics(x, solution)
        for (i, s), (j, t) in zip(self._by_fold(critics, x, solution, "x"), self._by_fold(critics, y, solution, "y")):
            terms = self.dual.terms(s, t, x.take(i), y.take(j))
            share, other = (m.weights[rows].sum() for m, rows in ((x, i), (y, j)))
            a = a.index_put((i,), terms.x.double())
            b = b.index_put((j,), terms.y.double() * share / other)
            second += float(share.detach() * terms.rest.second_order) ** 2
        return Terms(a, b, Remainder(math.sqrt(second)))

    def descend(self, x: Measure, y: Measure, solution: Solution) -> Tensor:
        if isinstance(self.dual, FeatureDual) and len(solution.state["critics"]) > 1:
            return self.terms(x, y, solution).value(x, y)
        return self.dual.descend(*self._both(x, y, solution), x, y)

    def null(self, pooled: Measure, labels: Tensor) -> Tensor:
        """Return values under relabelling of held-out rows, by one critic trained on the other half: see `relabelled`."""

        def fit(x: Measure, y: Measure, generator: torch.Generator) -> Scores:
            return self._train(x, y, self.ascent.seed, generator).critic.scores

        return relabelled(pooled, labels, self.ascent.seed, fit, self.dual.terms)

    def every_score(self, m: Measure, solution: Solution) -> Iterator[Tensor]:
        """Return every critic's calibrated scores (n,) of points that none has seen."""
        return (critic(m) for critic in self._critics(m, solution))

    def _critics(self, m: Measure, solution: Solution, cut: bool = True) -> list[Scores]:
        """Return the scores by every fold's critic, for points like m's, calibrated but for the cuts unless `cut`."""
        state, critics = solution.state, list[Scores]()
        for weights, choice, numbers in zip(state["critics"], state["choice"], state["calibration"].tolist()):
            network = restore(factories(self.critic)[choice], m, weights).requires_grad_(False)
            critics.append(_Critic(network, Calibration(*(numbers if cut else numbers[:2]))).scores)
        return critics

    def _by_fold(self, critics: list[Scores], m: Measure, solution: Solution, side: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield each fold's rows with their scores by that fold's critic; all rows where there are no folds."""
        fold = solution.state.get(f"fold_{side}")
        for k, critic in enumerate(critics):
            rows = torch.arange(m.n, device=m.device) if fold is None else (fold == k).nonzero()[:, 0]
            yield rows, critic(m if fold is None else m.take(rows))

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "dual": self.dual.name,
            "critic": " | ".join(describe(factory) for factory in factories(self.critic)),
            **({} if self.penalty == FREE else {"penalty": describe(self.penalty)}),
            **{f"ascent.{key}": describe(getattr(self.ascent, key)) for key in self.ascent.__dataclass_fields__},
        }


def _joined(m: Measure, parts: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
    """Return scores (n,) in the order of m's rows, from those of each fold with its rows."""
    rows, values = zip(*parts)
    if len(values) == 1:
        return values[0]  # type: ignore[no-any-return]
    out = torch.zeros(m.n, dtype=values[0].dtype, device=m.device)
    return out.index_put((torch.cat(rows),), torch.cat(values))


def _ends(scores: Tensor, solution: Solution, side: str) -> tuple[Tensor, Tensor]:
    """Return the lower and the upper cut of every row's scores by its fold: (n,), or one number each without folds."""
    ends, fold = solution.state["calibration"][:, 2:].to(scores), solution.state.get(f"fold_{side}")
    low, high = (ends[0] if fold is None else ends[fold]).unbind(-1)
    return low, high


def _scores(network: nn.Module, y: Measure) -> Scores:
    """Return a network's scores, the witness of a dual that has no other."""
    return lambda m: score(network, m)


class _Critic(NamedTuple):
    """A trained network with its calibration."""

    network: nn.Module
    calibration: Calibration

    @property
    def numbers(self) -> tuple[float, float, float, float]:
        """The calibration as a solution's state holds it."""
        return self.calibration.slope, self.calibration.shift, self.calibration.low, self.calibration.high

    def scores(self, m: Measure) -> Tensor:
        return self.calibration(score(self.network, m))


class _Trained(NamedTuple):
    """The result of one training."""

    critic: _Critic
    choice: int  # the place of its factory
    status: Status
    steps: int
    look: Look  # at the held-out rows
