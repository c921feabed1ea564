"""What all duals of a logit share: the logistic ascent, the calibration, the largest logit that samples can witness."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Hashable

import torch
from torch import Tensor

from divkit.core.estimate import Terms
from divkit.core.notes import Note, Notes
from divkit.critic.dual import Calibration, Dual, Scores, Sides
from divkit.data.measure import Measure
from divkit.fdiv.records import FDivergence
from divkit.fdiv.tails import pareto_index, verdict

__all__ = ["LogitDual"]

SEEN = 3  # rows of x that must have a larger logit (of y, a smaller one) before a critic's logit is believed
LIKELY = 0.4  # rows of y that must be expected where a logit is so large (of x, where it is so small)
FAR = 3.3  # standard errors: five folds judge two conditions each, and two errors would fail one run in ten by chance
FLAT = 0.01  # a mean slope of the logistic bound that counts as zero: on separable samples all rows pull one way
PRIOR = 0.25  # standard deviation of the normal prior on the calibration's slope − 1 and shift
APART, NOTABLE = 4.0, 0.1  # two readings disagree beyond so many standard errors and so large a share of the value
UNSEEN, SOME = 4.0, 0.01  # standard errors (skewed ones), and a share of a law, that lies where the other sample has no rows
GROWS = 5.0  # what a bounded a or b does not gain from v = 0 to the largest logits


class LogitDual(Dual):
    """A dual whose critic is a logit v ≈ log p/q, trained by the bound of the record `train`: equal ones share it."""

    train: FDivergence

    @property
    def problem(self) -> Hashable:
        return self.train

    def ascend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        limit = self.train.limit(s.dtype)
        pair = self.train.smooth
        return Terms(pair.a(s.clamp(-limit, limit)), -pair.b(t.clamp(-limit, limit)))

    @abstractmethod
    def bare(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        """What is reported, without notes."""

    def value(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Tensor:
        return self.bare(s, t, x, y).value(x, y)

    def calibrate(self, scores: Scores, fit: Sides, held: Sides) -> Calibration:
        """Slope and shift of the logit by penalised logistic regression on held-out scores.

        Settled where the first-order conditions of the logistic bound, in constant and slope, hold within the error of a mean.
        The calibrated logit is cut where few of the training rows reach: a critic says nothing of ratios that it has not seen.
        """
        (s, t), weights = (scores(m).double().clamp(-50, 50) for m in held), [m.weights.double() for m in held]
        (slope, shift), settled = platt((s, t), (weights[0], weights[1]), held[0].effective + held[1].effective)
        seen = [slope * torch.cat([scores(f), scores(h)]).double() + shift for f, h in zip(fit, held)]
        mass = [torch.cat([m.weights.double() * m.effective for m in both]) for both in zip(fit, held)]
        low, high = reach((seen[0], seen[1]), (mass[0], mass[1]))
        return Calibration(slope, shift, low, high, settled)

    def witnessed(self, x: Measure, y: Measure) -> float:
        """The largest |logit| that samples of this size can tell from infinity."""
        return math.log(min(x.effective, y.effective))


def reach(logits: tuple[Tensor, Tensor], mass: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """The smallest and largest logit to be believed, of logits (n,), (m,) whose rows count as `mass`.

    Where it exceeds c, y has at most e^{−c} times x's share of the mass. If that is much less than one row of y, these samples
    were fitted as well by any larger logit, and a new row of y out there would ruin the value.
    """
    s, t = logits
    rows = [float(side.sum()) for side in mass]
    return min(-_furthest(-t, mass[1], rows[0]), 0.0), max(_furthest(s, mass[0], rows[1]), 0.0)


def _furthest(v: Tensor, mass: Tensor, others: float) -> float:
    """The largest c that some of these logits reach, and above which LIKELY of the other side's rows are expected."""
    found = v.sort(descending=True)
    expected = others * mass[found.indices].cumsum(0) / mass.sum()
    some = min(SEEN, 1 + len(v) // 50)
    return float(torch.minimum(found.values, torch.log(expected / LIKELY))[some - 1 :].max())


def platt(scores: tuple[Tensor, Tensor], weights: tuple[Tensor, Tensor], rows: float) -> tuple[tuple[float, float], bool]:
    """Slope and shift of scores (n,), (m,) by penalised logistic regression, and whether its conditions hold within noise.

    Each side's `weights` sum to one; together they count as `rows` observations against the prior of slope 1 and shift 0.
    """
    v = torch.cat(scores)
    sign = torch.cat([torch.ones_like(scores[0]), -torch.ones_like(scores[1])])
    mass = torch.cat(weights) * rows / 2
    features = torch.stack([v, torch.ones_like(v)], 1)
    centre = torch.tensor([1.0, 0.0]).to(v)
    theta = centre.clone()
    for _ in range(25):
        p = torch.sigmoid(-sign * (features @ theta))
        gradient = -features.T @ (mass * sign * p) + (theta - centre) / PRIOR**2
        hessian = features.T @ ((mass * p * (1 - p))[:, None] * features) + torch.eye(2).to(v) / PRIOR**2
        step = torch.linalg.solve(hessian, gradient)
        theta = theta - step * min(1.0, 1.0 / float(step.abs().max().clamp(min=1e-12)))
        if float(step.abs().max()) < 1e-8:
            break
    p = torch.sigmoid(-sign * (features @ theta))
    residual = mass[:, None] * features * (sign * p)[:, None]
    settled = bool((residual.sum(0).abs() <= FAR * residual.square().sum(0).sqrt() + FLAT * mass.sum()).all())
    slope, shift = theta.tolist() if float(theta[0]) > 0 else (1.0, 0.0)
    return (slope, shift), settled


@torch.no_grad()
def diagnosed(terms: Terms, tame: bool = False) -> Notes:
    """Return notes on the heavier of the two tails of a bound's terms; none of `tame` ones but the index."""
    indices = {"x": pareto_index(terms.x), "y": pareto_index(terms.y)}
    side = max(indices, key=indices.__getitem__)
    return {Note.TAIL_INDEX: indices[side]} if tame else verdict(indices[side], side)


@torch.no_grad()
def unseen(record: FDivergence, s: Tensor, t: Tensor, x: Measure, y: Measure) -> dict[str, float | int | str]:
    r"""A note where one law has mass at which the other sample has no rows, and the record grows there without bound.

    :math:`E_Q\, e^v`, 1 for log p/q, is what the rows of y see of P, and :math:`E_P\, e^{-v}` what those of x see of Q: that a
    logit is too small where there is nothing to compare with, no tail of the terms can tell.
    """
    end, zero = torch.tensor(10.0, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for own, other, m, v, gained in (
        ("x", "y", y, t.double(), record.a(end) - record.a(zero)),
        ("y", "x", x, -s.double(), record.b(zero) - record.b(-end)),
    ):
        share = v.exp()
        lost = 1 - float(m.mean(share))
        error = math.sqrt(float((m.weights.double().square() * (share - m.mean(share)).square()).sum()))
        if float(gained) > GROWS and lost > max(SOME, UNSEEN * error):
            return {
                "saturated": f"{lost:.0%} of the law of {own} lies where {other} has next to no rows "
                f"({lost / max(error, 1e-12):.1f} standard errors); the divergence may be far above this bound."
            }
    return {}


@torch.no_grad()
def compared(record: FDivergence, s: Tensor, t: Tensor, x: Measure, y: Measure) -> dict[str, float | int | str]:
    r"""The plug-in reading :math:`E_P f(e^v)/e^v` (for `kl` :math:`E_P v`) beside the bound, and a note on disagreement.

    What must agree with the bound is the reading over both samples, :math:`E_M f(e^v) q/m` with M their mixture: it differs by
    :math:`E_Q\, \sigma(v)(a + b) - E_P\, \sigma(-v)(a + b)`, zero where e^v is the density ratio, whatever the supports.
    """
    a, b = record.a(s).double(), record.b(s).double()
    plug_in = float(x.mean(a - b * torch.exp(-s.double())))
    own = -torch.sigmoid(-s.double()) * (a + b)
    other = torch.sigmoid(t.double()) * (record.a(t).double() + record.b(t).double())
    gap = float(x.mean(own) + y.mean(other))
    variance = sum(float((m.weights.double().square() * (g - m.mean(g)).square()).sum()) for m, g in ((x, own), (y, other)))
    bound = float(x.mean(a) - y.mean(record.b(t)))
    notes: dict[str, float | int | str] = {Note.PLUG_IN: plug_in}
    if abs(gap) > APART * math.sqrt(variance) and abs(gap) > NOTABLE * max(abs(bound), abs(bound + gap)):
        notes[Note.DISAGREEMENT] = (
            f"the same logit read as a density ratio gives {bound + gap:.4g}, the bound {bound:.4g}, "
            f"{abs(gap) / math.sqrt(max(variance, 1e-300)):.1f} standard errors apart: it is no log density ratio; "
            f"try another critic, or more rows."
        )
    return notes
