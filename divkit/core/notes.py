"""Notes: what stands beside the value and the error of an estimate, each under a key that says what it is."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum

__all__ = ["Note", "NoteKind", "Notes", "SaturatedBound", "UnreliableEstimate"]

Notes = Mapping[str, float | int | str]  # keys are members of `Note`, or names of a kernel's fields that the samples set


class SaturatedBound(UserWarning):
    """A variational bound is as large as samples of this size can make it: the divergence may be far above."""


class UnreliableEstimate(UserWarning):
    """The samples themselves say that value or standard error cannot be trusted: a heavy tail, two readings that disagree."""


class NoteKind(Enum):
    """What a note is; the values are sentences."""

    NUMBER = "a number that tells how the estimate came about"
    SETTING = "what a relative setting came to on these samples"
    REASON = "the reason why a number is missing"
    CAUTION = "a sentence that is also given as a warning"
    REMARK = "a sentence on how to read the value"


class Note(StrEnum):
    """The keys of notes, each a string with its kind, its meaning and, for a caution, the category of its warning.

    Examples
    --------
    >>> import divkit as dk
    >>> e = dk.estimate("entropic-ot", [0.0, 1.0], [1.0, 3.0], epsilon=0.5)
    >>> e.notes[Note.EPSILON], e.notes["epsilon"], Note.EPSILON.kind.name
    (0.5, 0.5, 'SETTING')
    """

    kind: NoteKind
    meaning: str
    warning: type[Warning] | None

    def __new__(cls, key: str, kind: NoteKind, meaning: str, warning: type[Warning] | None = None) -> Note:
        """Make a string that carries what the key means."""
        note = str.__new__(cls, key)
        note._value_ = key
        note.kind, note.meaning, note.warning = kind, meaning, warning
        return note

    BANDWIDTH = "bandwidth", NoteKind.SETTING, "the kernel's bandwidth, in units of the data"
    LENGTH = "length", NoteKind.SETTING, "the kernel's length scale, in units of the data"
    GAMMA = "gamma", NoteKind.SETTING, "the factor of the inner product in a polynomial kernel"
    EPSILON = "epsilon", NoteKind.SETTING, "the entropic regularisation, in units of the cost"
    RATE = "rate", NoteKind.SETTING, "the assumed power of 1/n by which the bias falls"
    FREQUENCIES = "frequencies", NoteKind.SETTING, "the number of random frequencies"
    PROJECTIONS = "projections", NoteKind.SETTING, "the number of directions; one in one dimension"
    BLOCKS = "blocks", NoteKind.SETTING, "the number of blocks of rows"
    DERANGEMENTS = "derangements", NoteKind.SETTING, "the number of times that every row met another partner"

    LOWER_CONFIDENCE = "lower_confidence", NoteKind.NUMBER, "the value less 1.64 standard errors: a lower bound at level 95 %"
    LOWER_FINITE_SAMPLE = "lower_finite_sample", NoteKind.NUMBER, "a lower bound at level 95 % that holds at any sample size"
    PLUG_IN = "plug_in", NoteKind.NUMBER, "a second reading of the same solution, without a bound or an extrapolation"
    CLIPPED_SHARE = "clipped_share", NoteKind.NUMBER, "the share of rows whose logit was cut"
    TAIL_INDEX = "tail_index", NoteKind.NUMBER, "the Pareto index of the terms' heavier tail; from 1/2 on errors are rough"
    TIED_SHARE = "tied_share", NoteKind.NUMBER, "the share of rows with a neighbour at distance zero"
    LIPSCHITZ = "lipschitz", NoteKind.NUMBER, "the largest slope of the critic that was measured"
    ENERGY = "energy", NoteKind.NUMBER, "the estimate of the energy distance itself"
    STDERR_OF_FREQUENCIES = "stderr_of_frequencies", NoteKind.NUMBER, "the part of the standard error due to the frequencies"
    STDERR_OF_PROJECTIONS = "stderr_of_projections", NoteKind.NUMBER, "the part of the standard error due to the directions"
    STDERR_OF_SPLITS = "stderr_of_splits", NoteKind.NUMBER, "the part of the standard error due to random halves"
    STDERR_OF_TRAINING = "stderr_of_training", NoteKind.NUMBER, "the part of the standard error due to trainings that differ"

    STDERR = "stderr", NoteKind.REASON, "why there is no standard error"

    SATURATED = "saturated", NoteKind.CAUTION, "the bound is as large as so many samples admit", SaturatedBound
    UNRELIABLE = "unreliable", NoteKind.CAUTION, "the terms' tail is too heavy for a mean or its error", UnreliableEstimate
    DISAGREEMENT = "disagreement", NoteKind.CAUTION, "two readings differ beyond their errors", UnreliableEstimate

    MASS = "mass", NoteKind.REMARK, "what became of weights whose sums differ"
    HEAVY_TAIL = "heavy_tail", NoteKind.REMARK, "the tail of the terms makes the standard error rough"
    SHRINKAGE = "shrinkage", NoteKind.REMARK, "covariances were shrunk, as there are no more rows than columns"
    BANDWIDTH_RULE = "bandwidth_rule", NoteKind.REMARK, "the rule that set the bandwidth where the median distance is zero"
