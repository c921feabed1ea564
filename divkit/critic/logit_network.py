r"""The default critic: a logistic regression with a small network beside it.

On standardised points z, cut to [−c, c] wherever they are not linear, the logit is

.. math:: v(z) = \theta \cdot (1,\; z,\; z_i z_j) + \beta \cdot (z - k)_+ + r(z),

with coefficients θ, slopes β that change at knots k, quantiles of every column, and a residual network r that starts at zero.
Regression alone sets β; it also sets the start of θ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Size, Tensor, nn

from divkit.critic.logistic import Regressions
from divkit.critic.staged import Staged
from divkit.data.measure import Measure
from divkit.data.sampling import spread_rows

__all__ = ["LogitNetwork", "LogitSettings", "is_image", "parameter_groups"]


@dataclass(frozen=True)
class LogitSettings:
    """Choices of the default critic.

    Attributes
    ----------
    clip : float
        Squares, bends and the residual stop growing at so many standard deviations: extrapolated, they ruin bounds.
    columns : int
        Points of more columns have no squares and no bends: there would be too many for usual samples.
    levels : tuple of float
        The quantiles of a column at which the regression may bend.
    rows : int
        A coefficient is tried only where there are so many rows for it.
    prior : float
        Standard deviation of the normal prior on coefficients of standardised features.
    tighter : tuple of float
        Priors that are tried too where there are fewer rows.
    ridge : float
        Evidence against a unit weight of the residual's last layer, in rows.
    """

    clip: float = 5.0
    columns: int = 30
    levels: tuple[float, ...] = (0.02, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.98)
    rows: int = 20
    prior: float = 5.0
    tighter: tuple[float, ...] = (0.5, 0.05)
    ridge: float = 3.0


class LogitNetwork(Staged):
    """The default critic: standardised inputs, a linear and quadratic part that logistic regression starts, and a small MLP.

    Parameters
    ----------
    *event_shapes : Size
        Of the parts of a point; they are flattened and concatenated.
    hidden : int
        Width of the two hidden layers, after two convolutions where a point is one image. The last layer starts at zero, so
        that training starts at the logistic regression.
    degree : int
        1 for the linear part alone; 2 also for squares and products, 3 also for bends at quantiles of every column, where there
        are at most 30.
    settings : LogitSettings
    """

    mean: Tensor
    scale: Tensor
    knots: Tensor
    slopes: Tensor

    def __init__(
        self, *event_shapes: Size, hidden: int = 32, degree: int = 3, settings: LogitSettings = LogitSettings()
    ) -> None:
        super().__init__()
        self.settings = settings
        d = sum(shape.numel() for shape in event_shapes)
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("scale", torch.ones(d))
        self.quadratic, self.bent = degree > 1 and d <= settings.columns, degree > 2 and d <= settings.columns
        self.theta = nn.Parameter(torch.zeros(1 + d + (d * (d + 1) // 2 if self.quadratic else 0)))
        self.register_buffer("knots", torch.zeros(len(settings.levels), d if self.bent else 0))
        self.register_buffer("slopes", torch.zeros(self.knots.numel()))
        last = nn.Linear(hidden, 1, bias=False)
        nn.init.zeros_(last.weight)
        body = _convolutions(event_shapes[0], hidden) if is_image(event_shapes) else [nn.Linear(d, hidden)]
        self.residual = nn.Sequential(*body, nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), last)

    def forward(self, *parts: Tensor) -> Tensor:
        z = (torch.cat([part.flatten(1) for part in parts], 1) - self.mean) / self.scale
        residual: Tensor = self.residual(self._clipped(z))[:, 0]
        return self._regression(z) + residual

    def _clipped(self, z: Tensor) -> Tensor:
        return z.clamp(-self.settings.clip, self.settings.clip)

    def _regression(self, z: Tensor) -> Tensor:  # (n, d) -> (n,)
        """Return the logit without its residual."""
        scores = self._features(z) @ self.theta
        return scores + self._bends(z) @ self.slopes if bool(self.slopes.any()) else scores

    @torch.no_grad()
    def embed(self, m: Measure) -> Measure:
        """Return standardised and cut points, each with the logit without its residual as a second part."""
        z = (m.flat - self.mean) / self.scale
        return Measure._of((self._clipped(z), self._regression(z)), None if m.uniform else m.weights)

    def head(self) -> nn.Module:
        """Return the residual, added to the logit that regression gave."""
        return _Head(self.residual, self.settings)

    def _features(self, z: Tensor) -> Tensor:
        """Return the features of θ: (n, 1 + d), or with squares and products (n, 1 + d + d(d + 1)/2)."""
        columns = [torch.ones_like(z[:, :1]), z]
        if self.quadratic:
            near = self._clipped(z)
            i, j = torch.triu_indices(z.shape[1], z.shape[1], device=z.device)
            columns.append(near[:, i] * near[:, j])
        return torch.cat(columns, 1)

    def _bends(self, z: Tensor) -> Tensor:
        """Return (z − knot)₊ of every column and knot: (n, columns · knots)."""
        return (self._clipped(z)[:, None] - self.knots).relu().flatten(1)

    @torch.no_grad()
    def standardise(self, x: Measure, y: Measure) -> None:
        rows = torch.cat([x.flat, y.flat]).double()
        unit = torch.exp2(torch.frexp(rows.abs().amax(0)).exponent.double() - 1)  # powers of two, so that no square overflows
        sd = (rows / unit).std(0, correction=0) * unit
        self.mean.copy_((rows / unit).mean(0) * unit)
        self.scale.copy_(torch.where(sd > 0, sd, 1.0))

    @torch.no_grad()
    def start(self, fit: tuple[Measure, Measure], held: tuple[Measure, Measure]) -> None:
        """Start at the best, on held-out rows, of the linear, the quadratic and the bent logistic regression."""
        self.standardise(*fit)
        d, count, most, how = len(self.mean), len(self.theta), len(self.theta) + len(self.slopes), self.settings
        affordable = (fit[0].n + fit[1].n) // how.rows  # coefficients
        z = [[(m.flat - self.mean) / self.scale for m in ms] for ms in (fit, held)]
        bent = self.bent and most <= affordable
        if bent:
            some = spread_rows(torch.cat(z[0]), 100_000)  # torch.quantile takes no more than 16 million numbers
            self.knots.copy_(torch.quantile(some, torch.tensor(how.levels).to(self.mean), 0))
        features = [
            [torch.cat([self._features(p), self._bends(p)] if bent else [self._features(p)], 1).double() for p in side]
            for side in z
        ]
        regressions = Regressions(fit, held, (features[0][0], features[0][1]), (features[1][0], features[1][1]))
        best = regressions.coefficients(1 + d, how.prior)
        for prior in how.tighter if d > affordable else ():
            shrunk = regressions.coefficients(1 + d, prior)
            best = shrunk if regressions.gain(best, shrunk) > 0 else best
        for width, allowed in ((count, self.quadratic), (most, bent)):
            if allowed and width <= affordable:
                wider = regressions.coefficients(width, how.prior)
                gain = regressions.gain(best, wider)
                if gain > 1 or (gain > 0 and regressions.beyond_chance(best, wider)):
                    best = wider
        self.theta.copy_(best[:count])
        self.slopes.copy_(best[count:] if bent else 0.0 * self.slopes)


class _Head(nn.Module):
    """The residual network, added to a logit that comes with the point."""

    def __init__(self, residual: nn.Sequential, settings: LogitSettings) -> None:
        super().__init__()
        self.residual, self.settings = residual, settings

    def forward(self, z: Tensor, start: Tensor) -> Tensor:
        residual: Tensor = self.residual(z)[:, 0]
        return start + residual


def parameter_groups(network: nn.Module, rows: int) -> list[dict[str, Any]]:
    """Return an optimiser's groups: the default critic's last layer is ridged like a prior that so many rows outweigh."""
    if not isinstance(network, LogitNetwork | _Head):
        return [{"params": list(network.parameters())}]
    last = network.residual[-1].weight
    rest = [parameter for parameter in network.parameters() if parameter is not last]
    return [{"params": rest}, {"params": [last], "weight_decay": network.settings.ridge / rows}]


def is_image(event_shapes: tuple[Size, ...]) -> bool:
    """Say whether a point is one array of (channels,) height and width, large enough for two strided convolutions."""
    return len(event_shapes) == 1 and len(event_shapes[0]) in (2, 3) and min(event_shapes[0][-2:]) >= 8


def _convolutions(shape: Size, hidden: int) -> list[nn.Module]:
    """Return layers from flattened images to `hidden` numbers, by two strided convolutions."""
    channels, height, width = (1, *shape) if len(shape) == 2 else shape
    size = hidden * ((height + 3) // 4) * ((width + 3) // 4)
    return [
        nn.Unflatten(1, (channels, height, width)),
        *(nn.Conv2d(channels, hidden // 2, 3, 2, 1), nn.SiLU(), nn.Conv2d(hidden // 2, hidden, 3, 2, 1), nn.SiLU()),
        *(nn.Flatten(), nn.Linear(size, hidden)),
    ]
