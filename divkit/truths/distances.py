"""Transport, energy and kernel distances between laws, each where a closed form or one-dimensional integral is known."""

from __future__ import annotations

import numpy as np

from divkit.truths import gaussian, kernels, lattice, line
from divkit.truths.lattice import Lattice
from divkit.truths.laws import GaussianLaw, Law, ProductLaw, moments, size
from divkit.truths.lines import Line
from divkit.truths.reading import lattice_or_line, split

__all__ = [
    "cramer", "energy", "entropic_ot", "gaussian_w2", "kid", "max_sliced_w2", "mmd", "mmd_imq", "mmd_laplace", "sinkhorn",
    "sliced_energy", "sliced_w1", "sliced_w2", "w1", "w2",
]


def w1(p: Law, q: Law) -> float:
    """Return W₁, on the line or the integers; |Δ| for Gaussians with equal covariances."""
    if size(p) > 1:
        return gaussian.shift(*_gaussians(p, q, "w1"), "w1")
    return _on_line(p, q, 1)


def w2(p: Law, q: Law) -> float:
    """Return W₂², no root: Bures for Gaussians, quantiles on the line, the sum over the parts of products."""
    if isinstance(p, GaussianLaw) and isinstance(q, GaussianLaw):
        return gaussian.bures(p, q)
    if size(p) == 1:
        return _on_line(p, q, 2)
    first, second = split(p), split(q)
    if isinstance(first, ProductLaw) and isinstance(second, ProductLaw):
        return sum(w2(part, other) for part, other in zip(first.parts, second.parts))
    raise _unknown("w2", p, q)


def gaussian_w2(p: Law, q: Law) -> float:
    """Return W₂² of the Gaussians with the laws' means and covariances."""
    pairs = [moments(p), moments(q)]
    if not all(np.isfinite(part).all() for pair in pairs for part in pair):
        raise ValueError("gaussian-w2 needs finite means and covariances, which one of the laws has not; ask for w1 or energy.")
    return gaussian.bures(*(GaussianLaw(mean, covariance) for mean, covariance in pairs))


def energy(p: Law, q: Law) -> float:
    """Return 2E|X−Y| − E|X−X′| − E|Y−Y′|; on the line that is 2∫(F − G)²."""
    if size(p) > 1:
        return kernels.energy(*_mixtures(p, q, "energy"))
    match lattice_or_line(p), lattice_or_line(q):
        case Line() as first, Line() as second:
            return line.energy(first, second)
        case Lattice() as one, Lattice() as other:
            return lattice.energy(one, other)
        case _:
            raise _unknown("energy", p, q)


def cramer(p: Law, q: Law) -> float:
    """Return half the energy distance; on the line that is ∫(F − G)²."""
    return energy(p, q) / 2.0


def sliced_energy(p: Law, q: Law) -> float:
    """Return the mean over θ of the energy distance of the projections on θ, uniform on the sphere."""
    return energy(p, q) / gaussian.slicing(size(p))


def sliced_w1(p: Law, q: Law) -> float:
    """Return the mean over θ of W₁ of the projections: |Δ|/c_d for Gaussians with equal covariances."""
    return w1(p, q) / gaussian.slicing(size(p)) if size(p) > 1 else w1(p, q)


def sliced_w2(p: Law, q: Law) -> float:
    """Return the mean over θ of W₂² of the projections."""
    return gaussian.sliced_w2(*_gaussians(p, q, "sliced-w2")) if size(p) > 1 else w2(p, q)


def max_sliced_w2(p: Law, q: Law) -> float:
    """Return the maximum over θ of W₂² of the projections: |Δ|² for Gaussians with equal covariances."""
    return gaussian.shift(*_gaussians(p, q, "max-sliced-w2"), "max-sliced-w2") ** 2 if size(p) > 1 else w2(p, q)


def mmd(p: Law, q: Law, bandwidth: float) -> float:
    """Return MMD² with the Gaussian kernel exp(−d²/2σ²), σ the bandwidth."""
    return kernels.gaussian(*_mixtures(p, q, "mmd"), bandwidth)


def mmd_laplace(p: Law, q: Law, bandwidth: float) -> float:
    """Return MMD² with the Laplace kernel exp(−d/σ), σ the bandwidth."""
    return kernels.laplace(*_mixtures(p, q, "mmd-laplace"), bandwidth)


def mmd_imq(p: Law, q: Law, sigma: float) -> float:
    """Return MMD² with WAE's sum of seven inverse multiquadrics."""
    return kernels.multiquadric(*_mixtures(p, q, "mmd-imq"), sigma)


def kid(p: Law, q: Law) -> float:
    """Return MMD² with the cubic kernel (x·y/d + 1)³."""
    return kernels.cubic(*_mixtures(p, q, "kid"))


def entropic_ot(p: Law, q: Law, epsilon: float) -> float:
    """Return min_π E|x−y|² + ε KL(π‖p⊗q)."""
    return gaussian.entropic(*_gaussians(p, q, "entropic-ot"), epsilon)


def sinkhorn(p: Law, q: Law, epsilon: float) -> float:
    """Return OT_ε(p, q) − ½OT_ε(p, p) − ½OT_ε(q, q)."""
    first, second = _gaussians(p, q, "sinkhorn")
    own = gaussian.entropic(first, first, epsilon) + gaussian.entropic(second, second, epsilon)
    return gaussian.entropic(first, second, epsilon) - own / 2.0


def _on_line(p: Law, q: Law, power: int) -> float:
    """Return W_p^p, p the power, of two laws on the line or of two on the integers."""
    match lattice_or_line(p), lattice_or_line(q):
        case Line() as first, Line() as second:
            return line.wasserstein(first, second, power)
        case Lattice() as one, Lattice() as other:
            return lattice.wasserstein(one, other, power)
        case _:
            raise _unknown(f"w{power}", p, q)


def _gaussians(p: Law, q: Law, what: str) -> tuple[GaussianLaw, GaussianLaw]:
    """Return the laws, refused unless both are Gaussian."""
    if isinstance(p, GaussianLaw) and isinstance(q, GaussianLaw):
        return p, q
    raise _unknown(what, p, q)


def _mixtures(p: Law, q: Law, what: str) -> tuple[Law, Law]:
    """Return the laws, refused unless both are mixtures of Gaussians."""
    if all(gaussian.components(law)[1] for law in (p, q)):
        return p, q
    raise _unknown(what, p, q)


def _unknown(what: str, p: Law, q: Law) -> ValueError:
    """Return the refusal of a pair without a closed form."""
    kinds = f"{type(p).__name__} against {type(q).__name__}"
    return ValueError(f"{what}: no closed form is known here for {kinds}; Gaussians have one, and most distances on the line.")
