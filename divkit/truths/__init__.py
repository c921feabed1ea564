"""True values of divergences, from their definitions and nothing else of this library, so that they can judge it."""

from divkit.truths.exact import exact, names

__all__ = ["exact", "names"]
