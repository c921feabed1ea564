"""Hints at the name that somebody may have meant by an unknown one."""

from __future__ import annotations

import difflib
from collections.abc import Collection

__all__ = ["meant"]

OTHERWISE = {  # other names of divergences, the most specific first
    "sliced": ("sliced-w2", "sliced-w1", "sliced-energy"),
    "wasserstein": ("w1", "w2"),
    "emd": ("w1", "w2"),
    "earth mover": ("w1", "w2"),
    "kantorovich": ("w1", "w1-dual"),
    "optimal transport": ("w1", "w2", "sinkhorn"),
    "bures": ("gaussian-w2",),
    "frechet": ("fid", "gaussian-w2"),
    "fréchet": ("fid", "gaussian-w2"),
    "jensen": ("js", "weighted-js"),
    "kullback": ("kl", "reverse-kl"),
    "relative entropy": ("kl", "reverse-kl"),
    "donsker": ("kl-dv",),
    "total variation": ("tv",),
    "hellinger": ("squared-hellinger",),
    "chi": ("pearson", "neyman"),
    "χ": ("pearson", "neyman"),
    "rényi": ("renyi", "renyi-knn"),
    "maximum mean": ("mmd",),
    "rbf": ("mmd",),
    "gaussian": ("mmd", "gaussian-w2"),
}


def meant(name: str, known: Collection[str], listed: str) -> str:
    """Return a question with the known names that come close, in spelling or meaning, or else `listed`: where all are.

    >>> meant("Wasserstein", ["w1", "w2", "kl"], "all are in dk.names().")
    'did you mean w1 or w2?'
    >>> meant("KL", ["w1", "w2", "kl"], "all are in dk.names().")
    'did you mean kl?'
    """
    plain = " ".join(name.casefold().replace("-", " ").replace("_", " ").split())
    plain = plain.removesuffix(" divergence").removesuffix(" distance")
    spelt = {key.replace("-", " "): key for key in known}
    same = [spelt[plain]] if plain in spelt else []
    other = next((names for word, names in OTHERWISE.items() if plain.startswith(word)), ())
    close = [spelt[key] for key in difflib.get_close_matches(plain, spelt, 3)]
    candidates = same or [key for key in other if key in known] or close
    return f"did you mean {' or '.join(candidates)}?" if candidates else listed
