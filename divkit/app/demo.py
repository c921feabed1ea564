"""Two real sample sets that come with scikit-learn, for a first look: ``divkit compare --demo``."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from divkit.data.frames import Column, Kind, Table

__all__ = ["Samples", "demo"]

NAMES = {
    "age": "age",
    "sex": "sex",
    "bmi": "body mass index",
    "bp": "blood pressure",
    "s1": "total cholesterol",
    "s2": "LDL",
    "s3": "HDL",
    "s4": "cholesterol / HDL",
    "s5": "log triglycerides",
    "s6": "blood sugar",
}


class Samples(NamedTuple):
    """Two samples, what to call them, and a sentence on what they are."""

    x: Any
    y: Any
    label_x: str
    label_y: str
    sentence: str = ""


def demo() -> Samples:
    """Return diabetes patients (Efron et al., 2004) whose disease progressed more, and less, than the median patient's.

    Body mass index, blood pressure, HDL and triglycerides differ between the two, sex and LDL hardly do.

    Examples
    --------
    >>> d = demo()
    >>> d.x.rows, d.y.rows, d.x.names[:3]
    (221, 221, ('age', 'sex', 'body mass index'))
    """
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    columns = []
    for key, values in zip(data.feature_names, data.data.T):
        kind = Kind.WORD if key == "sex" else Kind.NUMBER  # coded 1 and 2: the source does not say which is which
        coded = np.array([f"{value:.0f}" for value in values], dtype=object) if key == "sex" else values
        columns.append(Column(NAMES[key], kind, coded))
    patients = Table(tuple(columns))
    fast = data.target > np.median(data.target)
    return Samples(
        patients.take(fast),
        patients.take(~fast),
        "fast progression",
        "slow progression",
        "Ten measurements of 442 diabetes patients: x are the 221 whose disease progressed more than the median within a year, "
        "y the other 221 (Efron et al., 2004).",
    )
