"""f-divergences by a scikit-learn classifier, cross-fitted, calibrated and judged like a critic.

A classifier trained on n rows of x and m of y has the log odds log p/q + log n/m: less log n/m they are the logit v.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from divkit.core.divergence import Divergence
from divkit.core.estimate import Bias, Solution, Status, Terms
from divkit.core.notes import Note
from divkit.critic.abilities import Calibration
from divkit.critic.dual import diagnosed
from divkit.critic.relabelling import relabelled
from divkit.critic.splits import cut_folds, inner_split, of_training
from divkit.data.measure import Measure
from divkit.fdiv.bounds import Bound
from divkit.fdiv.calibration import CalibrationSettings, believable, platt
from divkit.fdiv.records import FDivergence
from divkit.support.checks import whole

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

__all__ = ["Classifier"]


@cache
def boosting() -> HistGradientBoostingClassifier:
    """Return the default classifier: indifferent to the columns' scales, stopped early, with trees too small to fit noise."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # seconds of imports, for those who want a classifier

    return HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=500,
        max_leaf_nodes=6,
        l2_regularization=5.0,
        early_stopping=True,
        validation_fraction=0.2,
        n_iter_no_change=15,
    )


@dataclass(frozen=True)
class Classifier(Divergence):
    r"""The bound :math:`E_P\, a(v) - E_Q\, b(v)` of an f-divergence with a classifier's log odds, less the prior's, for v.

    Every row is judged by a classifier that saw neither it nor its fold, calibrated by slope and shift on a fifth of the rows
    that the classifier did not see. A lower bound in expectation: between unit Gaussians one apart, d = 5, 2,000 rows each,
    boosting lacks 7 % of `kl` and 3 % of `js`, logistic regression nothing. A value has no gradient in the points. Nats.

    Parameters
    ----------
    record : FDivergence
    classifier : scikit-learn classifier
        With ``predict_proba``; it is cloned. Histogram gradient boosting by default.
    folds : int
    seed : int
        For the folds, and for the classifier where it has a free ``random_state``.

    Raises
    ------
    TypeError
        For what is no classifier with probabilities.
    ValueError
        For weights with a classifier that takes none, and for points that need a gradient.

    Examples
    --------
    >>> import torch, divkit as dk
    >>> from sklearn.linear_model import LogisticRegression
    >>> generator = torch.Generator().manual_seed(0)
    >>> x, y = 1 + torch.randn(1000, 1, generator=generator), torch.randn(1000, 1, generator=generator)
    >>> e = dk.fdiv.Classifier(dk.fdiv.KL, LogisticRegression()).estimate(x, y)
    >>> abs(e.value - 0.5) < 4 * e.stderr
    True
    """

    quadratic: ClassVar[bool] = False

    record: FDivergence
    classifier: Any = field(default_factory=boosting)
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        whole("folds", self.folds, 2)
        if isinstance(self.classifier, type) or not all(hasattr(self.classifier, of) for of in ("fit", "predict_proba")):
            raise TypeError(
                f"classifier must be a scikit-learn classifier with predict_proba; got {self.classifier!r}. "
                f"Wrap one without probabilities in sklearn.calibration.CalibratedClassifierCV."
            )

    @property
    def name(self) -> str:
        return f"{self.record.name}-classifier"

    @property
    def bias(self) -> Bias:
        return Bias.BELOW

    @property
    def problem(self) -> Hashable:
        return type(self), self.classifier, self.folds, self.seed

    def require(self, x: Measure, y: Measure) -> None:
        from sklearn.utils.validation import has_fit_parameter

        super().require(x, y)
        if not (x.uniform and y.uniform) and not has_fit_parameter(self.classifier, "sample_weight"):
            raise ValueError(
                f"{type(self.classifier).__name__} takes no weights; use another classifier, or {self.record.name}."
            )

    def solve(self, x: Measure, y: Measure, start: Solution | None = None) -> Solution:
        generator = torch.Generator().manual_seed(self.seed)
        folds = tuple(cut_folds(m, self.folds, generator) for m in (x, y))
        logits: list[list[Tensor]] = [[], []]
        unsettled = 0
        for k in range(self.folds):
            outside = [m.take((fold != k).nonzero()[:, 0]) for m, fold in zip((x, y), folds)]
            score, settled = self._fit(outside[0], outside[1], generator, self.seed + k)
            unsettled += not settled
            for logit, m in zip(logits, (x, y)):
                logit.append(score(m))
        status = Status.STALLED if unsettled else Status.CONVERGED
        state = {"logits_x": torch.stack(logits[0]), "logits_y": torch.stack(logits[1]), "fold_x": folds[0], "fold_y": folds[1]}
        return Solution(state, status, self.folds, unsettled / self.folds)

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        if any(part.requires_grad for m in (x, y) for part in m.parts):
            raise ValueError(f"{self.name} has no gradient in the points; use {self.record.name}, whose critic has one.")
        dual, (s, t) = Bound(self.record), (solution.state[f"logits_{side}"] for side in "xy")  # (folds, n), (folds, m)
        unseen = [logits.gather(0, solution.state[f"fold_{side}"][None])[0] for logits, side in ((s, "x"), (t, "y"))]
        terms = diagnosed(dual, unseen[0], unseen[1], x, y)
        training = of_training([float(dual.terms(p, q, x, y).value(x, y)) for p, q in zip(s, t)], stable=False)
        return terms._replace(rest=terms.rest.and_noise(training), notes={**terms.notes, Note.STDERR_OF_TRAINING: training})

    def null(self, pooled: Measure, labels: Tensor) -> Tensor:
        """Return the values under relabelling; as for critics half of the rows train, and the other half are relabelled."""
        dual = Bound(self.record)
        return relabelled(pooled, labels, self.seed, lambda x, y, g: self._fit(x, y, g, self.seed)[0], dual.terms)

    def _fit(self, x: Measure, y: Measure, generator: torch.Generator, seed: int) -> tuple[Callable[[Measure], Tensor], bool]:
        """Return a logit trained and calibrated on these rows, and whether its calibration meets its conditions."""
        settings = CalibrationSettings()
        (fit_x, held_x), (fit_y, held_y) = (inner_split(m, settings.held, generator) for m in (x, y))
        logit = self._train(fit_x, fit_y, seed)
        s, t = logit(held_x), logit(held_y)
        rows = held_x.effective + held_y.effective
        (slope, shift), settled = platt((s, t), (held_x.weights, held_y.weights), rows, settings)
        mass = held_x.weights.double() * x.effective, held_y.weights.double() * y.effective
        calibration = Calibration(slope, shift, *believable((slope * s + shift, slope * t + shift), mass, settings))
        return lambda m: calibration(logit(m)), settled

    def _train(self, x: Measure, y: Measure, seed: int) -> Callable[[Measure], Tensor]:
        """Return the logit of a classifier trained on all of these rows: its log odds less log n/m."""
        from sklearn.base import clone

        model = clone(self.classifier)
        if "random_state" in model.get_params() and model.get_params()["random_state"] is None:
            model.set_params(random_state=seed)
        rows, labels = np.concatenate([_rows(x), _rows(y)]), np.repeat([1, 0], [x.n, y.n])
        if x.uniform and y.uniform:
            model.fit(rows, labels)
        else:
            model.fit(rows, labels, sample_weight=torch.cat([x.weights * x.n, y.weights * y.n]).cpu().numpy())
        one, prior = list(model.classes_).index(1), math.log(x.n / y.n)

        def logit(m: Measure) -> Tensor:
            with np.errstate(divide="ignore"):  # a probability may be exactly 0
                log = np.log(model.predict_proba(_rows(m)).astype(np.float64))
            return torch.as_tensor(log[:, one] - log[:, 1 - one], device=m.device).clamp(-50, 50) - prior

        return logit

    @property
    def settings(self) -> dict[str, Any]:
        return {"classifier": repr(self.classifier), "folds": self.folds, "seed": self.seed}


def _rows(m: Measure) -> np.ndarray[Any, np.dtype[Any]]:
    """Return the points as the (n, d) array that scikit-learn takes."""
    return m.flat.detach().cpu().numpy()
