"""Cases: what papers say, beside what is true and what comes out here; one file each, `CASES` by name.

>>> from divkit.reproduce import CASES
>>> CASES["saturation"].title
'With a perfect discriminator one GAN loss has no gradient, the other keeps it'
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from divkit.reproduce.bernoulli_bias import BERNOULLI_BIAS
from divkit.reproduce.case import OTHER_DATA, UNCONFIRMED, Case, Outcome, Quantity, Row, Setup, at_least, at_most, near
from divkit.reproduce.categorical_bias import CATEGORICAL_BIAS
from divkit.reproduce.critic_surface import CRITIC_SURFACE
from divkit.reproduce.eight_schools import EIGHT_SCHOOLS
from divkit.reproduce.estimators import ESTIMATORS
from divkit.reproduce.fgan_gauss import FGAN_GAUSS
from divkit.reproduce.four_points import FOUR_POINTS
from divkit.reproduce.gumbel_max import GUMBEL_MAX
from divkit.reproduce.linear_vae import LINEAR_VAE
from divkit.reproduce.lipschitz import LIPSCHITZ
from divkit.reproduce.mode_seeking import MODE_SEEKING
from divkit.reproduce.parallel_lines import PARALLEL_LINES
from divkit.reproduce.saturation import SATURATION
from divkit.reproduce.store import Result, load, perform, write
from divkit.reproduce.survey import SURVEY_CASE
from divkit.reproduce.systems import IMAGES
from divkit.reproduce.toys import TOYS
from divkit.reproduce.wae_any import WAE_ANY

__all__ = [
    "CASES", "OTHER_DATA", "UNCONFIRMED", "Case", "Outcome", "Quantity", "Result", "Row", "Setup", "at_least", "at_most",
    "load", "near", "perform", "write",
]

_CASES = (  # in the order of the report: exact ones first
    SURVEY_CASE,
    FGAN_GAUSS,
    ESTIMATORS,
    SATURATION,
    GUMBEL_MAX,
    LINEAR_VAE,
    BERNOULLI_BIAS,
    CATEGORICAL_BIAS,
    PARALLEL_LINES,
    LIPSCHITZ,
    MODE_SEEKING,
    FOUR_POINTS,
    EIGHT_SCHOOLS,
    *TOYS,
    CRITIC_SURFACE,
    WAE_ANY,
    *IMAGES,
)

CASES: Mapping[str, Case] = MappingProxyType({case.name: case for case in _CASES})
