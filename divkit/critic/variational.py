"""The one critic class: a dual's witness is trained, cross-fitted, calibrated, and evaluated on rows it did not see."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from divkit.critic.ascent import Ascent, ascend, refresh, score
from divkit.critic.networks import Factory, LogitNetwork, build
from divkit.divergence import Divergence
from divkit.measure import Measure
from divkit.results import Bias, Solution, Status, Terms

__all__ = ["Dual", "TrainingDiverged", "Variational"]


class TrainingDiverged(UserWarning):
    """A critic's objective stopped being finite; its last finite state was kept."""


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

    def calibrate(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> tuple[float, float, bool]:
        """Slope and shift that improve held-out scores, and whether first-order conditions hold there."""
        return 1.0, 0.0, True


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
        critics, affine, statuses, steps, off = [], [], [], 0, 0.0
        for k in range(self.ascent.folds):
            (fit_x, held_x), (fit_y, held_y) = (
                _split(m, fold != k, self.ascent.held, generator) for m, fold in zip((x, y), folds)
            )
            network = build(self.critic, x, self.ascent.seed + k)
            if isinstance(network, LogitNetwork):
                network.start((fit_x, fit_y), (held_x, held_y))
            status, taken = ascend(
                network, self.dual.ascend, (fit_x, fit_y), (held_x, held_y), self.ascent, self.ascent.seed + k
            )
            with torch.no_grad():
                slope, shift, settled = self.dual.calibrate(score(network, held_x), score(network, held_y), held_x, held_y)
            if status is Status.NONFINITE:
                warnings.warn(f"{self.name}: a critic's objective became infinite or NaN.", TrainingDiverged, stacklevel=2)
            statuses.append(status if settled or status is not Status.CONVERGED else Status.STALLED)
            critics.append({key: value.clone() for key, value in network.state_dict().items()})
            affine.append((slope, shift))
            steps += taken
            off = max(off, 0.0 if statuses[-1] is Status.CONVERGED else 1.0)
        state = {
            "critics": critics,
            "affine": torch.tensor(affine, dtype=torch.float64),
            "fold_x": folds[0],
            "fold_y": folds[1],
        }
        worst = max(statuses, key=list(Status).index)
        return Solution(state, worst, steps, off)

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
        affine = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
        steps = self.ascent.warm + (0 if solution is None else solution.steps)
        return Solution({"critics": [critic], "affine": affine, "moments": moments}, steps=steps)

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

        Given that half, the other half's labels are exchangeable under P = Q with the number of each side fixed; each row of
        `labels` stands for one such relabelling, drawn from the ascent's seed.
        """
        generator = torch.Generator().manual_seed(self.ascent.seed)
        train = torch.zeros(pooled.n, dtype=torch.bool)
        for side in (labels[0].cpu(), ~labels[0].cpu()):
            rows = side.nonzero()[:, 0]
            train[rows[torch.randperm(len(rows), generator=generator)[: len(rows) // 2]]] = True
        train = train.to(pooled.device)
        x, y = (pooled.take((train & side).nonzero()[:, 0]) for side in (labels[0], ~labels[0]))
        fits, helds = zip(
            *(_split(m, torch.ones(m.n, dtype=torch.bool, device=m.device), self.ascent.held, generator) for m in (x, y))
        )
        network = build(self.critic, x, self.ascent.seed)
        if isinstance(network, LogitNetwork):
            network.start(fits, helds)
        ascend(network, self.dual.ascend, fits, helds, self.ascent, self.ascent.seed)
        with torch.no_grad():
            slope, shift, _ = self.dual.calibrate(score(network, helds[0]), score(network, helds[1]), *helds)
            rest = pooled.take((~train).nonzero()[:, 0])
            values = score(network, rest) * slope + shift
            label = labels[0][~train]
            results = torch.empty(len(labels), dtype=torch.float64)
            for b in range(len(labels)):
                p, q = rest.take(label.nonzero()[:, 0]), rest.take((~label).nonzero()[:, 0])
                results[b] = self.dual.terms(values[label], values[~label], p, q).value(p, q)
                label = label[torch.randperm(len(label), generator=generator).to(label.device)]
        return results

    def _by_fold(self, m: Measure, solution: Solution, side: str) -> Iterator[tuple[Tensor, Tensor]]:
        state = solution.state
        for k, weights in enumerate(state["critics"]):
            network = self._network(m, weights)
            rows = (state[f"fold_{side}"] == k).nonzero()[:, 0] if f"fold_{side}" in state else torch.arange(m.n)
            part = m.take(rows) if f"fold_{side}" in state else m
            slope, shift = state["affine"][k].tolist()
            yield rows, score(network, part) * slope + shift

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


def _split(m: Measure, rows: Tensor, held: float, generator: torch.Generator) -> tuple[Measure, Measure]:
    """Cut some rows into those that fit and those held out."""
    index = rows.nonzero()[:, 0]
    index = index[torch.randperm(len(index), generator=generator).to(index.device)]
    cut = max(1, round(held * len(index)))
    fit, kept = index[cut:], index[:cut]
    if not m.uniform:  # a side without mass cannot be trained on or judged
        for part in (fit, kept):
            if not float(m.weights[part].sum()) > 0:
                raise ValueError("the weights leave a fold without mass; too few rows have positive weight to cross-fit.")
    return m.take(fit), m.take(kept)
