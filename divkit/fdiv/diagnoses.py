r"""Notes on the value that a logit v gives: heavy tails, laws without rows of the other sample, a second reading.

For v = log p/q, :math:`E_Q\, e^v = 1` and :math:`E_P\, e^{-v} = 1` where the laws have the same support, and
:math:`E_Q\, \sigma(v) g = E_P\, \sigma(-v) g` holds for every function g.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from divkit.core.estimate import Terms
from divkit.core.notes import Note, Notes
from divkit.critic.abilities import ScorePair
from divkit.critic.splits import variance_of_mean
from divkit.data.measure import Measure
from divkit.fdiv.records import FDivergence
from divkit.fdiv.tails import pareto_index, verdict

__all__ = ["DiagnosisSettings", "clipping_notes", "plug_in_notes", "tail_notes", "unseen_notes"]


@dataclass(frozen=True)
class DiagnosisSettings:
    """Thresholds from which a note warns.

    Attributes
    ----------
    stderrs : float
        A gap is reported beyond so many standard errors; they are skewed, so that 2 would be too few.
    disagreement : float
        Two readings of a logit disagree if they also differ by this share of the value.
    unseen : float
        Mass without rows of the other sample matters if it is also this share of the law.
    growth : float
        Such mass matters to records whose a, or b, grows by more than this from v = 0 to v = 10: others are bounded.
    slight : float
        Clipped logits matter only if they move the value by this share: those of bounded divergences do not.
    """

    stderrs: float = 4.0
    disagreement: float = 0.1
    unseen: float = 0.01
    growth: float = 5.0
    slight: float = 0.01


@torch.no_grad()
def tail_notes(terms: Terms, tame: bool = False) -> Notes:
    """Return notes on the heavier of the two tails of a bound's terms; `tame` ones are known to have a variance."""
    indices = {"x": pareto_index(terms.x), "y": pareto_index(terms.y)}
    side = max(indices, key=indices.__getitem__)
    return {Note.TAIL_INDEX: indices[side]} if tame else verdict(indices[side], side)


@torch.no_grad()
def unseen_notes(
    record: FDivergence, s: Tensor, t: Tensor, x: Measure, y: Measure, settings: DiagnosisSettings = DiagnosisSettings()
) -> Notes:
    r"""Return a note if one law has mass where the other sample has no rows, and the record grows there without bound.

    The rows of y see the share :math:`E_Q\, e^v` of P, those of x the share :math:`E_P\, e^{-v}` of Q. What they do not see is
    lost to the bound, and no tail of its terms can tell.
    """
    end, zero = torch.tensor(10.0, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for law, other, m, v, growth in (
        ("x", "y", y, t.double(), record.a(end) - record.a(zero)),
        ("y", "x", x, -s.double(), record.b(zero) - record.b(-end)),
    ):
        share = v.exp()
        lost = 1 - float(m.mean(share))
        error = math.sqrt(variance_of_mean(m, share))
        if float(growth) > settings.growth and lost > max(settings.unseen, settings.stderrs * error):
            return {
                Note.SATURATED: f"{lost:.0%} of the law of {law} lies where {other} has next to no rows "
                f"({lost / max(error, 1e-12):.1f} standard errors); the divergence may be far above this bound."
            }
    return {}


@torch.no_grad()
def plug_in_notes(
    record: FDivergence, s: Tensor, t: Tensor, x: Measure, y: Measure, settings: DiagnosisSettings = DiagnosisSettings()
) -> Notes:
    r"""Return the plug-in reading :math:`E_P f(e^v)/e^v` beside the bound, and a sentence if a second reading disagrees.

    For `kl` the plug-in is :math:`E_P v`. The second reading, which must agree with the bound whatever the supports, is taken
    over both samples, :math:`E_M f(e^v) q/m` with M their mixture. It exceeds the bound by
    :math:`E_Q\, \sigma(v)(a + b) - E_P\, \sigma(-v)(a + b)`, which is zero where e^v is the density ratio.
    """
    a, b = record.a(s).double(), record.b(s).double()
    plug_in = float(x.mean(a - b * torch.exp(-s.double())))
    of_x = -torch.sigmoid(-s.double()) * (a + b)
    of_y = torch.sigmoid(t.double()) * (record.a(t).double() + record.b(t).double())
    gap = float(x.mean(of_x) + y.mean(of_y))
    error = math.sqrt(variance_of_mean(x, of_x) + variance_of_mean(y, of_y))
    bound = float(x.mean(a) - y.mean(record.b(t)))
    if abs(gap) > settings.stderrs * error and abs(gap) > settings.disagreement * max(abs(bound), abs(bound + gap)):
        sentence = (
            f"the same logit read as a density ratio gives {bound + gap:.4g}, the bound {bound:.4g}, "
            f"{abs(gap) / max(error, 1e-150):.1f} standard errors apart: it is no log density ratio; "
            f"try another critic, or more rows."
        )
        return {Note.PLUG_IN: plug_in, Note.DISAGREEMENT: sentence}
    return {Note.PLUG_IN: plug_in}


@torch.no_grad()
def clipping_notes(
    record: FDivergence,
    s: Tensor,
    t: Tensor,
    x: Measure,
    y: Measure,
    cut: ScorePair,
    settings: DiagnosisSettings = DiagnosisSettings(),
) -> Notes:
    """Return the share of logits that were clipped, and a note if a clipped one further out would move the value by its noise.

    `cut` is how much was cut off each logit; s and t are what is left. Clipped logits are moved outwards by one at most.
    """
    share = float(x.mean((cut[0] != 0).double()) + y.mean((cut[1] != 0).double())) / 2
    end, value, moved, variance = record.limit(s.dtype), -record.minimum, 0.0, 0.0
    for m, f, sign, v, far in ((x, record.a, 1, s, cut[0]), (y, record.b, -1, t, cut[1])):
        terms = f(v).double()
        value += sign * float(m.mean(terms))
        moved += float(m.mean((f((v + far.clamp(-1, 1)).clamp(-end, end)) - terms).abs()))
        variance += float(terms.var()) / m.n
    if not moved > max(math.sqrt(variance), settings.slight * value):
        return {Note.CLIPPED_SHARE: share}
    largest = max(float(s.abs().max()), float(t.abs().max()))
    sentence = (
        f"{share:.1%} of the logits were cut, at ±{largest:.3g} or before, about the largest that "
        f"{min(x.n, y.n)} samples can witness; the divergence may be far above this bound."
    )
    return {Note.CLIPPED_SHARE: share, Note.SATURATED: sentence}
