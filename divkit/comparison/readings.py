"""How to read each number: what a divergence measures, its unit, what zero and large values mean, its bounds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["READINGS", "Reading", "reading"]

DATA = "units of the data"
SQUARED = "squared units of the data"
NATS = "nats"
PURE = "no unit"


@dataclass(frozen=True)
class Reading:
    """One divergence in words; `rest` is its value where the two distributions are equal."""

    title: str
    unit: str
    sentence: str
    rest: float = 0.0


READINGS = {
    "kl": Reading(
        "Kullback–Leibler divergence of x from y",
        NATS,
        "The mean log-likelihood ratio under x: 0 where the distributions are equal, no upper end; at 1 a typical row of "
        "x is 2.7 times as likely under x as under y. It grows fastest where x has rows that y lacks.",
    ),
    "reverse-kl": Reading(
        "Kullback–Leibler divergence of y from x",
        NATS,
        "The mean log-likelihood ratio under y: 0 where the distributions are equal, no upper end; it grows fastest where"
        " y has rows that x lacks.",
    ),
    "pearson": Reading(
        "Pearson’s χ² divergence",
        PURE,
        "The mean squared deviation of the density ratio x/y from one, over y: 0 where the distributions are equal, no "
        "upper end; beyond about 10 a few rare rows decide it.",
    ),
    "neyman": Reading(
        "Neyman’s χ² divergence",
        PURE,
        "The mean squared deviation of the density ratio y/x from one, over x: 0 where the distributions are equal, no "
        "upper end; beyond about 10 a few rare rows decide it.",
    ),
    "squared-hellinger": Reading(
        "Squared Hellinger distance",
        PURE,
        "The squared distance of the roots of the densities: 0 where the distributions are equal, 2 where they have no "
        "region in common.",
    ),
    "jeffreys": Reading(
        "Jeffreys divergence",
        NATS,
        "The Kullback–Leibler divergences of both directions added: 0 where the distributions are equal, no upper end.",
    ),
    "js": Reading(
        "Jensen–Shannon divergence",
        NATS,
        "How much a row tells about which of the two samples it comes from: 0 where the distributions are equal, log 2 ≈ "
        "0.693 where every row tells all.",
    ),
    "fgan-js": Reading(
        "Twice the Jensen–Shannon divergence",
        NATS,
        "0 where the distributions are equal, 2 log 2 ≈ 1.386 where they have no region in common.",
    ),
    "gan": Reading(
        "Value of the original GAN game",
        NATS,
        "Twice the Jensen–Shannon divergence less log 4: −log 4 ≈ −1.386, not zero, where the distributions are equal, "
        "and 0 where they have no region in common.",
        rest=-1.3862943611198906,
    ),
    "tv": Reading(
        "Total variation distance",
        PURE,
        "The largest difference in the probability of any event: 0 where the distributions are equal, 1 where they have "
        "no region in common; the best judge of a single row’s origin is right with probability (1 + tv)/2.",
    ),
    "le-cam": Reading(
        "Le Cam’s triangular discrimination",
        PURE,
        "The squared difference of the densities over their sum: 0 where the distributions are equal, 2 where they have "
        "no region in common.",
    ),
    "lin-k": Reading(
        "Lin’s K divergence",
        NATS,
        "The Kullback–Leibler divergence of x from the even mixture of x and y: 0 where the distributions are equal, log "
        "2 ≈ 0.693 where they have no region in common.",
    ),
    "alpha": Reading(
        "α divergence",
        PURE,
        "0 where the distributions are equal; for an order α between 0 and 1 at most 1/(α(1 − α)), otherwise without "
        "upper end.",
    ),
    "weighted-js": Reading(
        "Weighted Jensen–Shannon divergence",
        NATS,
        "How much a row tells about its origin where x has prior weight π: 0 where the distributions are equal, at most "
        "the entropy of (π, 1 − π), which is log 2 ≈ 0.693 for π = ½.",
    ),
    "skew-kl": Reading(
        "Skew Kullback–Leibler divergence",
        NATS,
        "The Kullback–Leibler divergence of x from a mixture with a share a of x and 1 − a of y: 0 where the "
        "distributions are equal, at most log(1/a).",
    ),
    "relative-pearson": Reading(
        "Relative Pearson divergence",
        PURE,
        "Half of Pearson’s χ² from a mixture with a share a of x and 1 − a of y: 0 where the distributions are equal, at "
        "most (1 − a)/(2a).",
    ),
    "kl-dv": Reading(
        "Kullback–Leibler divergence by Donsker and Varadhan’s bound",
        NATS,
        "The mean log-likelihood ratio under x, from the tighter of the two variational bounds: 0 where the distributions"
        " are equal, no upper end; values near the logarithm of the number of rows cannot be told from larger ones.",
    ),
    "renyi": Reading(
        "Rényi divergence",
        NATS,
        "0 where the distributions are equal, no upper end; at order near 1 the Kullback–Leibler divergence, at higher "
        "orders ever more the largest density ratios.",
    ),
    "pearson-hcr": Reading(
        "Pearson’s χ² by Hammersley, Chapman and Robbins’ bound",
        PURE,
        "The largest squared shift of a mean from y to x in units of its variance under y: 0 where the distributions are "
        "equal, no upper end.",
    ),
    "kl-knn": Reading(
        "Kullback–Leibler divergence by nearest neighbours",
        NATS,
        "How much closer a row of x lies to other rows of x than to rows of y: 0 where the distributions are equal, no "
        "upper end; with more than about five columns it comes out too small.",
    ),
    "renyi-knn": Reading(
        "Rényi divergence by nearest neighbours",
        NATS,
        "As the Rényi divergence, 0 where the distributions are equal, no upper end, from distances to nearest "
        "neighbours; with more than about five columns it comes out too small.",
    ),
    "w1": Reading(
        "Wasserstein-1 distance",
        DATA,
        "How far, on average, rows must be moved to turn one sample into the other: 0 where the samples coincide, no "
        "upper end; two finite samples of one distribution are some way apart, which the yardstick shows.",
    ),
    "w2": Reading(
        "Squared Wasserstein-2 distance",
        SQUARED,
        "The mean squared distance that rows must be moved to turn one sample into the other: 0 where the samples "
        "coincide, no upper end; its root is in units of the data. Two finite samples of one distribution are some way "
        "apart, which the yardstick shows.",
    ),
    "sinkhorn": Reading(
        "Sinkhorn divergence",
        "units of the cost",
        "The cost, squared distance if not set otherwise, of moving one sample onto the other, smoothed over distances of"
        " about √ε, less what this smoothing adds: 0 where the samples coincide, no upper end.",
    ),
    "entropic-ot": Reading(
        "Entropic transport cost",
        "units of the cost",
        "The cost of a transport blurred by ε: not 0 even where the samples coincide, because the blur costs something; "
        "compare it with the yardstick, or use sinkhorn.",
    ),
    "sliced-w1": Reading(
        "Sliced Wasserstein-1 distance",
        DATA,
        "The Wasserstein-1 distance along a line, averaged over directions: 0 where the samples coincide, no upper end, "
        "at most w1.",
    ),
    "sliced-w2": Reading(
        "Squared sliced Wasserstein-2 distance",
        SQUARED,
        "The squared Wasserstein-2 distance along a line, averaged over directions: 0 where the samples coincide, no "
        "upper end; a shift of all rows counts with its square divided by the number of columns.",
    ),
    "max-sliced-w2": Reading(
        "Squared max-sliced Wasserstein-2 distance",
        SQUARED,
        "The squared Wasserstein-2 distance along the one line where it is largest: 0 where the samples coincide, no "
        "upper end, at most w2.",
    ),
    "gaussian-w2": Reading(
        "Squared Wasserstein-2 distance of fitted normal distributions",
        SQUARED,
        "0 where means and covariances agree, whatever else differs; no upper end.",
    ),
    "fid": Reading(
        "Fréchet distance of features",
        SQUARED,
        "The squared Wasserstein-2 distance of normal distributions fitted to the features: 0 where their means and "
        "covariances agree; it grows as rows get few, so that only values of equally many rows compare.",
    ),
    "w1-dual": Reading(
        "Wasserstein-1 distance by a critic",
        DATA,
        "The difference of the means of one function of slope at most 1, found by training: 0 where the distributions are"
        " equal, no upper end.",
    ),
    "mmd": Reading(
        "Squared maximum mean discrepancy, Gaussian kernel",
        PURE,
        "The squared difference of the two smoothed densities at the scale of the kernel’s bandwidth: 0 where the "
        "distributions are equal, at most 2; an unbiased value may fall below 0 by chance.",
    ),
    "mmd-laplace": Reading(
        "Squared maximum mean discrepancy, Laplace kernel",
        PURE,
        "As mmd with a kernel of sharper peak: 0 where the distributions are equal, at most 2; an unbiased value may fall"
        " below 0 by chance.",
    ),
    "mmd-imq": Reading(
        "Squared maximum mean discrepancy, seven inverse multiquadratic kernels",
        PURE,
        "As mmd, summed over seven scales: 0 where the distributions are equal, at most 14; an unbiased value may fall "
        "below 0 by chance.",
    ),
    "mmd-fourier": Reading(
        "Squared maximum mean discrepancy by random Fourier features",
        PURE,
        "As mmd, its kernel the average over drawn frequencies: 0 where the distributions are equal, at most 2; an unbiased"
        " value may fall below 0 by chance.",
    ),
    "mmd-blocks": Reading(
        "Squared maximum mean discrepancy over blocks of rows",
        PURE,
        "As mmd, the average over blocks of rows, with a larger error: 0 where the distributions are equal, at most 2; the"
        " value may fall below 0 by chance.",
    ),
    "kid": Reading(
        "Kernel inception distance",
        "a cubic polynomial of the data",
        "The squared maximum mean discrepancy of a cubic kernel, which sees the first three moments: 0 where these agree,"
        " no upper end; an unbiased value may fall below 0 by chance. It depends on the scale of the columns.",
    ),
    "energy": Reading(
        "Energy distance",
        DATA,
        "Twice the mean distance between the samples less the mean distances within them: 0 where the distributions are "
        "equal, no upper end; an unbiased value may fall below 0 by chance.",
    ),
    "cramer": Reading(
        "Cramér distance",
        DATA,
        "Half the energy distance, in one dimension the integral of the squared difference of the distribution functions:"
        " 0 where the distributions are equal, no upper end; an unbiased value may fall below 0 by chance.",
    ),
    "sliced-energy": Reading(
        "Sliced energy distance",
        DATA,
        "The energy distance along a line, averaged over directions: 0 where the distributions are equal, no upper end; "
        "an unbiased value may fall below 0 by chance.",
    ),
}

UNKNOWN = Reading(
    "registered by another package",
    "see its documentation",
    "What zero and large values mean is for its author to say; compare the value with its yardstick.",
)

CLASSIFIER = "-classifier"  # the end of the names of records that a classifier evaluates


def reading(name: str) -> Reading:
    """Return the reading of a registered name, with or without options (``"alpha:order=.5"``).

    Examples
    --------
    >>> reading("tv").unit, reading("gan").rest
    ('no unit', -1.3862943611198906)
    """
    base = name.partition(":")[0]
    if base in READINGS:
        return READINGS[base]
    record = READINGS.get(base.removesuffix(CLASSIFIER))
    if record is None:
        return UNKNOWN
    how = " Here from the probabilities of a cross-fitted classifier."
    return Reading(f"{record.title}, by a classifier", record.unit, record.sentence + how, record.rest)
