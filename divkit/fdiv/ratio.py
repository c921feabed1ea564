"""The logit as a product: log p/q at new points, trained or a user's own, its reliability, any divergence by it, on disk."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Size, Tensor

from divkit.core.divergence import Divergence
from divkit.core.estimate import Bias, Solution, Terms
from divkit.core.modes import without_graph
from divkit.core.registry import get
from divkit.critic import Choice, Dual, LogitNetwork, Variational, linear, quadratic
from divkit.critic.ascent import Ascent
from divkit.critic.networks import Factory
from divkit.data.measure import Measure, pair
from divkit.fdiv.bounds import Bound
from divkit.fdiv.reliability import Reliability, reliability
from divkit.fdiv.table import GAN
from divkit.support.writing import write

__all__ = ["DensityRatio", "FittedRatio", "Given", "density_ratio"]

Logit = Callable[..., Tensor]  # the parts of points, each (n, *event), to (n,)

FORMAT = 1  # of saved files
KNOWN: dict[str, Factory] = {f.__name__: f for f in (LogitNetwork, linear, quadratic)}


@dataclass(frozen=True)
class DensityRatio:
    """log p/q as a function of a point, in nats: a user's own logit, judged on samples that it has not seen.

    Parameters
    ----------
    logit : callable
        From points (n, *event), one tensor for each part of a joint sample, to log p/q (n,).

    Examples
    --------
    >>> import torch, divkit as dk
    >>> p, q = torch.distributions.Normal(1.0, 1.0), torch.distributions.Normal(0.0, 1.0)
    >>> ratio = dk.fdiv.DensityRatio.of_log_densities(p.log_prob, q.log_prob)
    >>> ratio([0.0, 0.5, 1.0]).tolist()
    [-0.5, 0.0, 0.5]
    >>> torch.manual_seed(0) and None
    >>> e = ratio.divergence("kl").estimate(p.sample((2000,)), q.sample((2000,)))
    >>> abs(e.value - 0.5) < 4 * e.stderr
    True
    """

    logit: Logit = field(repr=False)

    @classmethod
    def of_log_densities(cls, log_p: Logit, log_q: Logit) -> DensityRatio:
        """From two log densities, such as ``log_prob`` of distributions; (n, 1) results are read as (n,)."""
        return DensityRatio(_Difference(log_p, log_q))

    def __call__(self, points: Any) -> Tensor:  # -> (n,)
        """log p/q at new points."""
        with torch.no_grad():
            return _evaluated(self.logit, _like(points, self.dtype))

    @property
    def dtype(self) -> torch.dtype | None:
        """Of the points it takes; None for any."""
        return None

    def divergence(self, name: str, **options: Any) -> Given:
        """The divergence of that name, read from this logit: for samples that it was not trained on.

        Raises
        ------
        ValueError
            Where the name is not of a divergence that is read from a logit.
        """
        made = get(name, **options)
        dual = getattr(made, "dual", None)
        if not isinstance(dual, Dual) or not hasattr(dual, "train"):
            raise ValueError(f"{name!r} is not read from a log density ratio; names that are: kl, js, kl-dv, renyi, …")
        return Given(dual, self.logit)

    def reliability(self, x: Any, y: Any, bins: int = 10) -> Reliability:
        """How far the ratio can be believed, on samples that it was not trained on; see `Reliability`."""
        p, q = pair(x, y)
        with torch.no_grad():
            return reliability(_evaluated(self.logit, p), _evaluated(self.logit, q), p.weights, q.weights, bins)


@dataclass(frozen=True, eq=False)
class FittedRatio(DensityRatio):
    """log p/q learnt from samples: the mean of the cross-fitted critics' calibrated logits. Made by `density_ratio`.

    Attributes
    ----------
    variational : Variational
        What was trained.
    solution : Solution
        The trained critics. ``dk.get(name).estimate(x, y, solution=ratio.solution)`` judges every row of the training samples
        by the critic that did not see it.
    held_out : tuple of Tensor
        Such out-of-fold logits of x and y.
    """

    variational: Variational
    solution: Solution = field(repr=False)
    held_out: tuple[Tensor, Tensor] = field(repr=False)
    weights: tuple[Tensor, Tensor] = field(repr=False)
    event_shapes: tuple[Size, ...]

    @property
    def dtype(self) -> torch.dtype:
        return self.held_out[0].dtype

    def held_out_reliability(self, bins: int = 10) -> Reliability:
        """`reliability` of the out-of-fold logits of the training samples."""
        return reliability(*self.held_out, *self.weights, bins)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file of tensors, numbers and strings; it replaces an old one only when complete.

        Raises
        ------
        FileNotFoundError
            If the folder does not exist.
        """
        critic = self.variational.critic
        names = [f.__name__ for f in (critic.critics if isinstance(critic, Choice) else (critic,))]
        state = {key: self.solution.state[key] for key in ("critics", "choice", "calibration", "fold_x", "fold_y")}
        kept = {"format": FORMAT, "critic": names, "state": state, "shapes": [list(s) for s in self.event_shapes]}
        kept |= {"held_out": list(self.held_out), "weights": list(self.weights), "seed": self.variational.ascent.seed}
        file = io.BytesIO()
        torch.save(kept, file)
        write(Path(path), file.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike[str], critic: Factory | Choice | None = None) -> Self:
        """Read what `save` wrote; nothing of the file is executed.

        Parameters
        ----------
        path : path-like
        critic : callable or Choice, optional
            Where the ratio was trained with critics that divkit does not know.

        Raises
        ------
        ValueError
            If the file is not such a file, is damaged, or needs `critic`.
        """
        try:
            kept = torch.load(path, map_location="cpu", weights_only=True)
            names, state, shapes = kept["critic"], kept["state"], tuple(map(Size, kept["shapes"]))
            held_out, weights, seed = tuple(kept["held_out"]), tuple(kept["weights"]), kept["seed"]
        except FileNotFoundError:
            raise
        except Exception as error:
            raise ValueError(f"{os.fspath(path)} is no density ratio saved by divkit, or is damaged: {error}") from error
        if kept["format"] != FORMAT:
            raise ValueError(f"{os.fspath(path)} has format {kept['format']}; this version of divkit reads {FORMAT}.")
        if critic is None:
            unknown = [name for name in names if name not in KNOWN]
            if unknown:
                raise ValueError(f"the ratio was trained with {unknown[0]!r}, which divkit does not know; give critic=.")
            critic = KNOWN[names[0]] if len(names) == 1 else Choice(*(KNOWN[name] for name in names))
        variational = Variational(Bound(GAN), critic=critic, ascent=Ascent(seed=seed, folds=len(state["critics"])))
        solution = Solution(state)
        logit = _Ensemble(variational, solution, shapes)
        return cls(logit, variational, solution, held_out, weights, shapes)


@dataclass(frozen=True)
class Given(Divergence):
    """A divergence read from a given logit, or any score: nothing is trained, and x and y must be new to it.

    Parameters
    ----------
    dual : Dual
        Such as ``Bound(KL)``.
    logit : callable
        From points (n, *event), one tensor for each part, to (n,).
    """

    quadratic: ClassVar[bool] = False

    dual: Dual
    logit: Logit

    @property
    def name(self) -> str:
        return self.dual.name

    @property
    def bias(self) -> Bias:
        return self.dual.bias

    @property
    def problem(self) -> Hashable:
        return self

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        return self.dual.terms(_evaluated(self.logit, x), _evaluated(self.logit, y), x, y)

    def descend(self, x: Measure, y: Measure, solution: Solution) -> Tensor:
        return self.dual.descend(_evaluated(self.logit, x), _evaluated(self.logit, y), x, y)


def density_ratio(
    x: Any,
    y: Any,
    *,
    critic: Factory | Choice = LogitNetwork,
    ascent: Ascent = Ascent(),
    weights_x: Any = None,
    weights_y: Any = None,
) -> FittedRatio:
    """Learn log p/q from samples x of P and y of Q.

    Parameters
    ----------
    x, y : Measure or array-like (n, *event), (m, *event)
    critic : callable or Choice
    ascent : Ascent
    weights_x, weights_y : array-like, optional

    Returns
    -------
    FittedRatio

    Examples
    --------
    >>> import torch, divkit as dk
    >>> generator = torch.Generator().manual_seed(0)
    >>> x, y = 1 + torch.randn(2000, 1, generator=generator), torch.randn(2000, 1, generator=generator)
    >>> ratio = dk.fdiv.density_ratio(x, y)
    >>> bool((ratio([0.0, 0.5, 1.0]) - torch.tensor([-0.5, 0.0, 0.5])).abs().max() < 0.2)
    True
    >>> js = dk.get("js").estimate(x, y, solution=ratio.solution)  # nothing is trained here
    >>> abs(js.value - 0.1114) < 4 * js.stderr
    True
    """
    p, q = pair(x, y, weights_x, weights_y)
    variational = Variational(Bound(GAN), critic=critic, ascent=ascent)
    variational.require(p, q)
    with without_graph(p.device):
        p, q = p.detach(), q.detach()
        solution = variational.solve(p, q)
        held_out = variational.scores(p, solution, "x"), variational.scores(q, solution, "y")
    logit = _Ensemble(variational, solution, p.event_shapes)
    return FittedRatio(logit, variational, solution, held_out, (p.weights, q.weights), p.event_shapes)


@dataclass(frozen=True)
class _Difference:
    """Of two log densities."""

    log_p: Logit
    log_q: Logit

    def __call__(self, *parts: Tensor) -> Tensor:
        return self.log_p(*parts) - self.log_q(*parts)


@dataclass(frozen=True, eq=False)
class _Ensemble:
    """The mean of all folds' calibrated logits."""

    variational: Variational
    solution: Solution
    event_shapes: tuple[Size, ...]

    def __call__(self, *parts: Tensor) -> Tensor:
        shapes = tuple(part.shape[1:] for part in parts)
        if shapes != self.event_shapes:
            wanted, came = (" and ".join(str(tuple(s)) for s in side) for side in (self.event_shapes, shapes))
            raise ValueError(f"the ratio was learnt for points of shape {wanted}; got {came}.")
        m = Measure._of(parts if len(parts) > 1 else parts[0], None)
        return torch.stack(list(self.variational.every_score(m, self.solution))).mean(0)


def _like(points: Any, dtype: torch.dtype | None) -> Measure:
    m = points if isinstance(points, Measure) else Measure(points)
    return m if dtype in (None, m.dtype) else m.on(*(part.to(dtype) for part in m.parts))


def _evaluated(logit: Logit, m: Measure) -> Tensor:  # -> (n,)
    """The logit of a measure's points, checked."""
    out = logit(*m.parts)
    if isinstance(out, Tensor) and out.shape == (m.n, 1):
        out = out[:, 0]
    if not isinstance(out, Tensor) or out.shape != (m.n,):
        came = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ValueError(f"logit must return one number per point, shape ({m.n},); got {came}.")
    if bool(out.isnan().any()):
        raise ValueError(f"logit returned NaN for {int(out.isnan().sum())} of {m.n} points.")
    return out
