"""`exact`: the true value of a divergence between two distributions, by its name."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch.distributions as td

from divkit.truths import distances, divergences
from divkit.truths.reading import read

__all__ = ["exact", "names"]

_Test = tuple[Callable[[float], bool], str]
_ORDER: _Test = (math.isfinite, "a finite number")
_RENYI: _Test = (lambda a: 0.0 < a < math.inf and a != 1.0, "positive, finite and not 1 (order 1 is kl: use exact('kl', …))")
_WEIGHT: _Test = (lambda a: 0.0 < a < 1.0, "between 0 and 1")
_SKEW: _Test = (lambda a: 0.0 <= a < 1.0, "at least 0 and below 1")
_POSITIVE: _Test = (lambda a: 0.0 < a < math.inf, "positive and finite")


@dataclass(frozen=True)
class Rule:
    """How a name's value is found: a function (p, q, **fields) of two laws, the fields' tests and their defaults."""

    value: Callable[..., float]
    fields: Mapping[str, _Test] = field(default_factory=dict)
    defaults: Mapping[str, float] = field(default_factory=dict)


def _built(build: Callable[..., divergences.Record]) -> Callable[..., float]:
    """Return the value of a record that is built from the fields."""
    return lambda p, q, **fields: divergences.divergence(build(**fields), p, q)


_RULES: dict[str, Rule] = {
    **{name: Rule(partial(divergences.divergence, record)) for name, record in divergences.records.items()},
    "alpha": Rule(_built(divergences.alpha), {"order": _ORDER}),
    "weighted-js": Rule(_built(divergences.weighted_js), {"weight": _WEIGHT}),
    "skew-kl": Rule(_built(divergences.skew_kl), {"weight": _SKEW}, {"weight": 0.5}),
    "relative-pearson": Rule(_built(divergences.relative_pearson), {"weight": _SKEW}, {"weight": 0.5}),
    "renyi": Rule(divergences.renyi, {"order": _RENYI}),
    "w1": Rule(distances.w1),
    "w2": Rule(distances.w2),
    "gaussian-w2": Rule(distances.gaussian_w2),
    "energy": Rule(distances.energy),
    "cramer": Rule(distances.cramer),
    "mmd": Rule(distances.mmd, {"bandwidth": _POSITIVE}),
    "mmd-laplace": Rule(distances.mmd_laplace, {"bandwidth": _POSITIVE}),
    "mmd-imq": Rule(distances.mmd_imq, {"sigma": _POSITIVE}, {"sigma": 1.0}),
    "kid": Rule(distances.kid),
    "sliced-w1": Rule(distances.sliced_w1),
    "sliced-w2": Rule(distances.sliced_w2),
    "max-sliced-w2": Rule(distances.max_sliced_w2),
    "sliced-energy": Rule(distances.sliced_energy),
    "entropic-ot": Rule(distances.entropic_ot, {"epsilon": _POSITIVE}),
    "sinkhorn": Rule(distances.sinkhorn, {"epsilon": _POSITIVE}),
}
_ALIASES = {"kl-dv": "kl", "kl-knn": "kl", "renyi-knn": "renyi", "pearson-hcr": "pearson", "w1-dual": "w1"}
_FAMILIES = ("alpha", "weighted-js", "skew-kl", "relative-pearson")
_ALIASES |= {f"{name}-classifier": name for name in (*divergences.records, *_FAMILIES)}


def names() -> list[str]:
    """Return the names that `exact` knows, without those of other estimators of the same quantity.

    Examples
    --------
    >>> from divkit.truths import names
    >>> "js" in names() and "js-classifier" not in names()
    True
    """
    return sorted(_RULES)


def exact(name: str, p: td.Distribution, q: td.Distribution, **fields: float) -> float:
    """Return the true value of a divergence or distance between two distributions: a closed form, or a quadrature.

    f-divergences are D(P‖Q) = ∫ q f(p/q) in nats, infinite where the integral is; `js` ≤ log 2, `fgan-js` = 2·JS, `gan` =
    2·JS − log 4. Distances are not rooted: w2 = W₂² with cost |x−y|², energy = 2E|X−Y| − E|X−X′| − E|Y−Y′| (on the line
    2∫(F−G)², whether or not the means exist), entropic-ot = min_π E|x−y|² + ε KL(π‖P⊗Q); sliced ones are averages over
    directions. mmd = MMD² with exp(−d²/2σ²), mmd-laplace with exp(−d/σ), mmd-imq with WAE's seven scales, kid with
    (x·y/d + 1)³. Nothing is shared with the estimators of this library.

    Parameters
    ----------
    name : str
        One of `names()`, or of an estimator of the same quantity: kl-dv, kl-knn, renyi-knn, pearson-hcr, w1-dual,
        NAME-classifier.
    p, q : torch.distributions.Distribution
        Laws with an empty batch shape and the same event shape. Parameters are taken as they are, in float64: 0.1 in
        float32 is 0.100000001.
    **fields : float
        order (alpha, renyi), weight (weighted-js; skew-kl and relative-pearson: 0.5), bandwidth (mmd, mmd-laplace), sigma
        (mmd-imq: 1), epsilon (entropic-ot, sinkhorn; in units of the squared distance).

    Returns
    -------
    float
        The value, to 1e-8 of itself or better (mostly 1e-12); `inf` where it is infinite.

    Raises
    ------
    TypeError
        If p or q is not a distribution, or a field not a number.
    ValueError
        If the name, a field or a family is not known, if shapes do not fit, if no closed form or one-dimensional integral
        is known for the pair, if quadrature cannot vouch for its value, or if the value is too large for a float.

    Examples
    --------
    >>> from torch.distributions import Exponential, Laplace, Normal
    >>> from divkit.truths import exact
    >>> round(exact("js", Normal(1.0, 1.0), Normal(0.0, 1.0)), 6)
    0.111421
    >>> exact("pearson", Normal(0.0, 2.0), Normal(0.0, 1.0)), exact("kl", Laplace(0.0, 1.0), Exponential(1.0))
    (inf, inf)
    >>> round(exact("renyi", Normal(1.0, 1.0), Normal(0.0, 1.0), order=2.0), 12)
    1.0
    """
    rule = _RULES.get(_ALIASES.get(name, name))
    if rule is None:
        close = difflib.get_close_matches(name.casefold(), [*_RULES, *_ALIASES], n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(names())}."
        raise ValueError(f"no exact value is known by the name {name!r}; {hint}")
    checked = _fields(name, rule, fields)
    for label, law in (("p", p), ("q", q)):
        _check(label, law)
    if p.event_shape != q.event_shape:
        shapes = f"{tuple(p.event_shape)} and {tuple(q.event_shape)}"
        raise ValueError(f"p and q must have the same event shape, got {shapes}; give two laws of the same space.")
    value = float(rule.value(read(p), read(q), **checked))
    if math.isnan(value):
        raise ValueError(f"{name} of {p} and {q} is not a number; give less extreme parameters, in float64.")
    return value


def _fields(name: str, rule: Rule, fields: Mapping[str, Any]) -> dict[str, float]:
    """Return the fields with their defaults, each tested."""
    if unknown := sorted(set(fields) - set(rule.fields)):
        takes = ", ".join(rule.fields) or "no field"
        raise ValueError(f"exact({name!r}) does not know the field {unknown[0]!r}; it takes {takes}.")
    if missing := sorted(set(rule.fields) - set(fields) - set(rule.defaults)):
        wanted = rule.fields[missing[0]][1]
        raise ValueError(f"exact({name!r}) needs the field {missing[0]}; give {missing[0]}=…, a number that is {wanted}.")
    values = {**rule.defaults, **fields}
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"exact({name!r}): {key} must be a number, got {value!r}; give a float.")
        test, wanted = rule.fields[key]
        if not test(value):
            raise ValueError(f"exact({name!r}): {key} must be {wanted}, got {value!r}.")
    return {key: float(value) for key, value in values.items()}


def _check(label: str, law: object) -> None:
    """Refuse what is not one distribution."""
    if not isinstance(law, td.Distribution):
        raise TypeError(
            f"{label} must be a torch.distributions.Distribution, got {type(law).__name__}; from samples, use an estimator."
        )
    if law.batch_shape:
        raise ValueError(
            f"{label} is a batch of distributions (batch shape {tuple(law.batch_shape)}), wanted one; wrap it in "
            f"Independent(…, {len(law.batch_shape)}) if its entries are the coordinates of one law, or take one of them."
        )
