"""Critic networks: factories from the event shapes of a sample to a module that maps its parts to (n,) scores."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Size, Tensor, nn

from divkit.data.measure import Measure

__all__ = ["Factory", "LogitNetwork", "Staged", "build", "is_image", "mlp", "parameter_groups", "restore"]

Factory = Callable[..., nn.Module]  # (*event_shapes) -> module; module(*parts) -> (n,) or (n, 1)

REACH = 5.0  # squares and the residual network stop growing at so many standard deviations: extrapolated, they ruin bounds
RIDGE = 3.0  # rows' worth of evidence against a unit weight of the residual's last layer
PRIOR = 5.0  # standard deviation of the normal prior on logistic coefficients of standardised features
LEVELS = (0.02, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.98)  # quantiles at which the regression may bend
QUANTILE_ROWS = 100_000  # torch.quantile takes at most 16 million numbers
TIGHTER = (0.5, 0.05)  # priors tried where rows are fewer than twenty a coefficient
SMALLEST = 8  # height and width of what is treated as an image
_init_lock = threading.Lock()


class Staged(nn.Module, ABC):
    """A critic that is started from the data, and then trains a part of itself on points embedded once."""

    isometric: ClassVar[bool] = False  # whether slopes are the same where it is embedded

    @abstractmethod
    def standardise(self, x: Measure, y: Measure) -> None:
        """Take centre and scale from both samples."""

    @abstractmethod
    def start(self, fit: tuple[Measure, Measure], held: tuple[Measure, Measure]) -> None:
        """Standardise, and start where data without training lead."""

    @abstractmethod
    def embed(self, m: Measure) -> Measure:
        """The measure on which `head` trains."""

    @property
    def unit(self) -> float:
        """The network's scores over those of `head`."""
        return 1.0

    @abstractmethod
    def head(self) -> nn.Module:
        """What is trained, sharing its parameters with this network; its scores may be in other units."""


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
    """

    mean: Tensor
    scale: Tensor
    knots: Tensor
    slopes: Tensor

    def __init__(self, *event_shapes: Size, hidden: int = 32, degree: int = 3) -> None:
        super().__init__()
        d = sum(shape.numel() for shape in event_shapes)
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("scale", torch.ones(d))
        self.quadratic, self.bent = degree > 1 and d <= 30, degree > 2 and d <= 30  # above, too many for usual samples
        self.theta = nn.Parameter(torch.zeros(1 + d + (d * (d + 1) // 2 if self.quadratic else 0)))
        self.register_buffer("knots", torch.zeros(len(LEVELS), d if self.bent else 0))
        self.register_buffer("slopes", torch.zeros(self.knots.numel()))  # changes of slope at the knots, by regression alone
        last = nn.Linear(hidden, 1, bias=False)
        nn.init.zeros_(last.weight)
        body = _convolutions(event_shapes[0], hidden) if is_image(event_shapes) else [nn.Linear(d, hidden)]
        self.residual = nn.Sequential(*body, nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), last)

    def forward(self, *parts: Tensor) -> Tensor:
        z = (torch.cat([part.flatten(1) for part in parts], 1) - self.mean) / self.scale
        residual: Tensor = self.residual(z.clamp(-REACH, REACH))[:, 0]
        return self._regression(z) + residual

    def _regression(self, z: Tensor) -> Tensor:
        scores = self._features(z) @ self.theta
        return scores + self._bends(z) @ self.slopes if bool(self.slopes.any()) else scores

    @torch.no_grad()
    def embed(self, m: Measure) -> Measure:
        """Standardised and cut points, and starting scores."""
        z = (m.flat - self.mean) / self.scale
        return Measure._of((z.clamp(-REACH, REACH), self._regression(z)), None if m.uniform else m.weights)

    def head(self) -> nn.Module:
        """The residual beside the start found by regression."""
        return _Head(self.residual)

    def _features(self, z: Tensor) -> Tensor:
        columns = [torch.ones_like(z[:, :1]), z]
        if self.quadratic:
            near = z.clamp(-REACH, REACH)
            i, j = torch.triu_indices(z.shape[1], z.shape[1], device=z.device)
            columns.append(near[:, i] * near[:, j])
        return torch.cat(columns, 1)

    def _bends(self, z: Tensor) -> Tensor:
        """(z − knot)₊ of every column and knot: (n, columns · knots)."""
        return (z.clamp(-REACH, REACH)[:, None] - self.knots).relu().flatten(1)

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
        d, rows, most = len(self.mean), fit[0].n + fit[1].n, len(self.theta) + len(self.slopes)
        z = [[(m.flat - self.mean) / self.scale for m in ms] for ms in (fit, held)]
        bent = self.bent and 20 * most <= rows
        if bent:
            self.knots.copy_(torch.quantile(_few(torch.cat(z[0])), torch.tensor(LEVELS).to(self.mean), 0))
        (fx, fy), (hx, hy) = (
            [torch.cat([self._features(p), self._bends(p)] if bent else [self._features(p)], 1).double() for p in side]
            for side in z
        )
        best = fx.new_zeros(fx.shape[1])
        best[: 1 + d] = _logistic(fx[:, : 1 + d], fy[:, : 1 + d], *fit)

        def gain(other: Tensor) -> float:
            """Of another's logistic loss over that of the best, on held-out rows, in standard errors."""
            gain_x = nn.functional.softplus(-(hx @ best)) - nn.functional.softplus(-(hx @ other))
            gain_y = nn.functional.softplus(hy @ best) - nn.functional.softplus(hy @ other)
            error = float(gain_x.var() / len(gain_x) + gain_y.var() / len(gain_y)) ** 0.5
            total = float(held[0].mean(gain_x) + held[1].mean(gain_y))
            return total / error if error > 0 else 0.0

        for prior in TIGHTER if 20 * d > rows else ():
            shrunk = torch.zeros_like(best)
            shrunk[: 1 + d] = _logistic(fx[:, : 1 + d], fy[:, : 1 + d], *fit, prior)
            best = shrunk if gain(shrunk) > 0 else best
        count = len(self.theta)
        for width, allowed in ((count, self.quadratic), (most, bent)):
            if allowed and 20 * width <= rows:
                wider = torch.zeros_like(best)
                wider[:width] = _logistic(fx[:, :width], fy[:, :width], *fit)
                found = gain(wider)
                likely = found > 0 and _gained(fx, fy, best, wider, *fit) > _by_chance(
                    int((wider != 0).sum() - (best != 0).sum())
                )
                best = wider if found > 1 or likely else best
        self.theta.copy_(best[:count])
        self.slopes.copy_(best[count:] if bent else 0.0 * self.slopes)


def _gained(fx: Tensor, fy: Tensor, one: Tensor, other: Tensor, x: Measure, y: Measure) -> float:
    """Twice the log-likelihood that the other coefficients gain over one, of as many rows as the smaller side allows."""
    softplus = nn.functional.softplus
    mean = x.mean(softplus(-(fx @ one)) - softplus(-(fx @ other))) + y.mean(softplus(fy @ one) - softplus(fy @ other))
    return 4 / (1 / x.effective + 1 / y.effective) * float(mean)


def _by_chance(more: int) -> float:
    """The gain from which so many more coefficients gain on other rows too: of noise it is χ² of mean `more`."""
    return 2 * more + 2 * math.sqrt(2 * max(more, 0))


def _few(rows: Tensor) -> Tensor:
    """Evenly spread rows, few enough for quantiles."""
    return rows[:: -(-len(rows) // QUANTILE_ROWS)]


class _Head(nn.Module):
    def __init__(self, residual: nn.Sequential) -> None:
        super().__init__()
        self.residual = residual

    def forward(self, z: Tensor, start: Tensor) -> Tensor:
        residual: Tensor = self.residual(z)[:, 0]
        return start + residual


def mlp(*event_shapes: Size, hidden: int = 64, layers: int = 2) -> nn.Module:
    """A plain multilayer perceptron on the flattened parts, for critics that are no logit."""
    return _Flat(sum(shape.numel() for shape in event_shapes), hidden, layers)


class _Flat(nn.Module):
    def __init__(self, d: int, hidden: int, layers: int) -> None:
        super().__init__()
        widths = [d] + [hidden] * layers
        body = [module for a, b in pairwise(widths) for module in (nn.Linear(a, b), nn.LeakyReLU(0.2))]
        self.body = nn.Sequential(*body, nn.Linear(widths[-1], 1))

    def forward(self, *parts: Tensor) -> Tensor:
        return self.body(torch.cat([part.flatten(1) for part in parts], 1))[:, 0]  # type: ignore[no-any-return]


def parameter_groups(network: nn.Module, rows: int) -> list[dict[str, Any]]:
    """What an optimiser is given: the default critic's residual is ridged like a prior that so many rows outweigh."""
    if not isinstance(network, LogitNetwork | _Head):
        return [{"params": list(network.parameters())}]
    last = network.residual[-1].weight
    rest = [parameter for parameter in network.parameters() if parameter is not last]
    return [{"params": rest}, {"params": [last], "weight_decay": RIDGE / rows}]


def restore(factory: Factory, x: Measure, weights: dict[str, Tensor]) -> nn.Module:
    """The network again for points like x's, with weights that it was trained to; ready to evaluate."""
    network = _made(factory, x, 0)
    network.load_state_dict(weights)
    return network.eval()


def build(factory: Factory, x: Measure, seed: int, *, features: bool = False) -> nn.Module:
    """Make the network for points like x's, initialised from `seed`; global generators are left as they were.

    Raises
    ------
    ValueError
        If its output is not one finite number per point (with `features`, one row per point), or has no gradient.
    """
    network = _made(factory, x, seed)
    with torch.enable_grad():
        few = [part[:2] for part in x.parts]
        network.eval()
        scores = network(*few)
    n = len(few[0])
    fits = isinstance(scores, Tensor) and (scores.shape in ((n,), (n, 1)) or (features and scores.shape[:-1] == (n,)))
    if not fits:
        shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        wanted = f"one row of features per point, shape ({n}, k)" if features else f"one number per point, shape ({n},)"
        raise ValueError(f"critic must return {wanted}; got {shape}.")
    if not bool(torch.isfinite(scores).all()):
        raise ValueError("critic returned NaN or infinity on the first points, before any training.")
    if not scores.requires_grad:
        raise ValueError("critic's output has no gradient with respect to its parameters; do not detach it.")
    return network


def is_image(event_shapes: tuple[Size, ...]) -> bool:
    """Whether a point is one array of (channels,) height and width, large enough for convolutions."""
    return len(event_shapes) == 1 and len(event_shapes[0]) in (2, 3) and min(event_shapes[0][-2:]) >= SMALLEST


def _convolutions(shape: Size, hidden: int) -> list[nn.Module]:
    """From flattened images to `hidden` numbers by two strided convolutions."""
    channels, height, width = (1, *shape) if len(shape) == 2 else shape
    size = hidden * ((height + 3) // 4) * ((width + 3) // 4)
    return [
        nn.Unflatten(1, (channels, height, width)),
        *(nn.Conv2d(channels, hidden // 2, 3, 2, 1), nn.SiLU(), nn.Conv2d(hidden // 2, hidden, 3, 2, 1), nn.SiLU()),
        *(nn.Flatten(), nn.Linear(size, hidden)),
    ]


def _logistic(fx: Tensor, fy: Tensor, x: Measure, y: Measure, prior: float = PRIOR) -> Tensor:
    """Coefficients of a weighted logistic regression, each side with total weight one, by Newton's method."""
    features = torch.cat([fx, fy])
    weights = torch.cat([x.weights, y.weights]).double() * (len(features) / 2)
    sign = torch.cat([torch.ones(len(fx)), -torch.ones(len(fy))]).to(features)
    penalty = torch.full((features.shape[1],), prior**-2, dtype=features.dtype, device=features.device)
    theta = features.new_zeros(features.shape[1])
    objective = float("inf")
    for _ in range(30):
        scores = features @ theta
        p = torch.sigmoid(-sign * scores)
        gradient = -features.T @ (weights * sign * p) + penalty * theta
        hessian = features.T @ ((weights * p * (1 - p))[:, None] * features) + torch.diag(penalty)
        step = torch.linalg.solve(hessian, gradient)
        size, before = 1.0, objective
        for _ in range(20):  # halve until the objective falls
            trial = theta - size * step
            objective = float(
                weights @ nn.functional.softplus(-sign * (features @ trial)) + (penalty * trial.square()).sum() / 2
            )
            if objective <= before:
                break
            size /= 2
        theta = trial
        if before - objective < 1e-9 * abs(objective):
            break
    return theta


def _made(factory: Factory, x: Measure, seed: int) -> nn.Module:
    with _init_lock, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # networks are made on the CPU; torch.manual_seed would visit every device
        return factory(*x.event_shapes).to(dtype=x.dtype, device=x.device)
