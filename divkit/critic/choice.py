"""Several critics, of which an inner split chooses; the small ones among them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Size, Tensor, nn

from divkit.critic.logit_network import LogitNetwork
from divkit.critic.networks import Factory

__all__ = ["Choice", "factories", "linear", "quadratic"]


@dataclass(frozen=True)
class Choice:
    """Critics to choose from: in every fold each is trained, and the best on an inner split judges the rows left out.

    A later one must beat those before it by a standard error, so the simplest comes first.

    Parameters
    ----------
    *critics : callable
        Each from the event shapes of a point's parts to an `nn.Module`.

    Raises
    ------
    ValueError
        Without any.

    Examples
    --------
    >>> import divkit as dk
    >>> from divkit.critic import Choice, Variational, linear, quadratic
    >>> divergence = Variational(dk.fdiv.Bound(dk.fdiv.KL), critic=Choice(linear, quadratic))
    >>> divergence.settings["critic"]
    'linear | quadratic'
    """

    critics: tuple[Factory, ...]

    def __init__(self, *critics: Factory) -> None:
        if not critics:
            raise ValueError("a Choice needs at least one critic; got none.")
        object.__setattr__(self, "critics", critics)


def factories(critic: Factory | Choice) -> tuple[Factory, ...]:
    """Return the critics of a choice, or the one that there is."""
    return critic.critics if isinstance(critic, Choice) else (critic,)


class PolynomialLogit(LogitNetwork):
    """The regression of a `LogitNetwork` without its residual: nothing is left to train."""

    def __init__(self, *event_shapes: Size, degree: int) -> None:
        super().__init__(*event_shapes, hidden=2, degree=degree)

    def forward(self, *parts: Tensor) -> Tensor:
        z = (torch.cat([part.flatten(1) for part in parts], 1) - self.mean) / self.scale
        return self._features(z) @ self.theta

    def head(self) -> nn.Module:
        return _Start()


class _Start(nn.Module):
    """A head without parameters, which returns the logit that regression gave."""

    def forward(self, z: Tensor, start: Tensor) -> Tensor:
        return start


def linear(*event_shapes: Size) -> nn.Module:
    """Return a linear logit: logistic regression."""
    return PolynomialLogit(*event_shapes, degree=1)


def quadratic(*event_shapes: Size) -> nn.Module:
    """Return a linear or quadratic logit, whichever is better on held-out rows, by logistic regression."""
    return PolynomialLogit(*event_shapes, degree=2)
