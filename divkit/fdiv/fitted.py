"""log p/q learnt from samples: its training, the trained ratio, and its file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Size, Tensor

from divkit.core.estimate import Solution
from divkit.core.graph import without_graph
from divkit.critic import Choice, LogitNetwork, Variational, linear, quadratic
from divkit.critic.ascent import Ascent
from divkit.critic.networks import Factory
from divkit.data.measure import Measure, pair
from divkit.fdiv.bounds import Bound
from divkit.fdiv.ratio import DensityRatio
from divkit.fdiv.ratio_file import RatioFile
from divkit.fdiv.reliability import Reliability, reliability
from divkit.fdiv.table import GAN

__all__ = ["FittedRatio", "density_ratio"]


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
        """Return the reliability of the out-of-fold logits of the training samples."""
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
        shapes, seed = [list(shape) for shape in self.event_shapes], self.variational.ascent.seed
        RatioFile(names, state, shapes, list(self.held_out), list(self.weights), seed).write(path)

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
        saved = RatioFile.read(path)
        ascent = Ascent(seed=saved.seed, folds=len(saved.state["critics"]))
        variational = Variational(Bound(GAN), critic=critic or _known(saved.critic), ascent=ascent)
        solution, shapes = Solution(saved.state), tuple(map(Size, saved.shapes))
        (s, t), (w, v) = saved.held_out, saved.weights
        return cls(_Ensemble(variational, solution, shapes), variational, solution, (s, t), (w, v), shapes)


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


def _known(names: list[str]) -> Factory | Choice:
    """Return divkit's own critic of that name, or the choice between several."""
    known: dict[str, Factory] = {factory.__name__: factory for factory in (LogitNetwork, linear, quadratic)}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"the ratio was trained with {unknown[0]!r}, which divkit does not know; give critic=.")
    return known[names[0]] if len(names) == 1 else Choice(*(known[name] for name in names))


@dataclass(frozen=True, eq=False)
class _Ensemble:
    """The logit that is the mean of all folds' calibrated logits."""

    variational: Variational
    solution: Solution
    event_shapes: tuple[Size, ...]

    def __call__(self, *parts: Tensor) -> Tensor:
        shapes = tuple(part.shape[1:] for part in parts)
        if shapes != self.event_shapes:
            learnt, shape = (" and ".join(str(tuple(s)) for s in side) for side in (self.event_shapes, shapes))
            raise ValueError(f"the ratio was learnt for points of shape {learnt}; got {shape}.")
        m = Measure._of(parts if len(parts) > 1 else parts[0], None)
        return torch.stack(list(self.variational.every_score(m, self.solution))).mean(0)
