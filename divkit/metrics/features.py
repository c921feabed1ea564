"""What classifiers tell: a two-sample test's accuracy, and features on which images are compared."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn

from divkit.core import registry

__all__ = ["Features", "c2st", "frechet", "kid", "train_features"]


def c2st(x: Tensor, y: Tensor, seed: int = 0, folds: int = 5) -> float:
    """Accuracy of a classifier that tells two sample sets apart, cross-validated: 1/2 where it cannot.

    Histogram gradient boosting at scikit-learn's settings; the larger set is cut to the size of the smaller.
    Source: Lopez-Paz, Oquab (2017).

    Examples
    --------
    >>> x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    >>> c2st(x, x + 5.0) > 0.99
    True
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    n = min(len(x), len(y))
    if n < 2 * folds:
        raise ValueError(f"Found array with {n} sample(s) while a minimum of {2 * folds} is required: {folds} folds.")
    rows = torch.cat([x[:n].flatten(1), y[:n].flatten(1)]).detach().cpu().numpy()
    labels = np.repeat([0, 1], n)
    order = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return float(cross_val_score(HistGradientBoostingClassifier(random_state=seed), rows, labels, cv=order).mean())


@dataclass(frozen=True, eq=False)
class Features:
    """A classifier trained here, whose last hidden layer describes images.

    Parameters
    ----------
    body : nn.Module
        From images to features.
    head : nn.Module
        From features to logits of the labels.
    accuracy : float
        On held-out images.
    digest : str
        A checksum of the parameters: numbers on these features compare only where it is the same.
    """

    body: nn.Module
    head: nn.Module
    accuracy: float
    digest: str

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:  # (n, *event) -> (n, features)
        return torch.cat([self.body(rows) for rows in torch.split(x, 1000)])


def train_features(
    x: tuple[Tensor, Tensor], labels: tuple[Tensor, Tensor], width: int = 64, steps: int = 1000, seed: int = 0
) -> Features:
    """Train a small perceptron to tell the labels of (training, held-out) images.

    Parameters
    ----------
    x, labels : pairs of Tensor
        Images (n, *event) and their labels (n,): to train on, held out.
    width : int
        Of the features.
    steps : int
        Of Adam, 128 images each.
    seed : int
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        size = x[0].shape[1:].numel()
        body = nn.Sequential(nn.Flatten(), nn.Linear(size, 256), nn.ReLU(), nn.Linear(256, width), nn.ReLU())
        head = nn.Linear(width, int(labels[0].max()) + 1)
        parameters = [*body.parameters(), *head.parameters()]
        optimiser = torch.optim.Adam(parameters, lr=1e-3, fused=True)
        for _ in range(steps):
            rows = torch.randint(len(x[0]), (128,))
            optimiser.zero_grad()
            nn.functional.cross_entropy(head(body(x[0][rows])), labels[0][rows]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    with torch.no_grad():
        accuracy = float((head(body(x[1])).argmax(1) == labels[1]).double().mean())
    content = b"".join(p.detach().numpy().tobytes() for p in parameters)
    return Features(body.eval(), head.eval(), accuracy, hashlib.sha256(content).hexdigest()[:12])


def frechet(x: Tensor, y: Tensor) -> float:
    r"""Fréchet distance :math:`|\mu - \nu|^2 + \mathrm{tr}(\Sigma + T - 2(\Sigma T)^{1/2})` of two sets' moments.

    On features of a classifier what is called FID. Biased above, so compare at equal sizes only. Source: Heusel et al. (2017).

    Examples
    --------
    >>> x = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    >>> abs(frechet(x, x)) < 1e-6, abs(frechet(x, x + 2.0) - 12.0) < 1e-5
    (True, True)
    """
    a, b = x.flatten(1).double().numpy(force=True), y.flatten(1).double().numpy(force=True)
    p, q = np.atleast_2d(np.cov(a, rowvar=False)), np.atleast_2d(np.cov(b, rowvar=False))
    ridge = 1e-10 * (np.trace(p) + np.trace(q)) * np.eye(len(p))  # a feature that never varies makes the root singular
    root = np.real(sqrtm((p + ridge) @ (q + ridge)))
    gap = a.mean(0) - b.mean(0)
    return float(gap @ gap + np.trace(p + q - 2 * root))


def kid(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Kernel distance of features, unbiased, with its standard error: `divkit.estimate("kid", x, y)`."""
    found = registry.get("kid").estimate(x.flatten(1), y.flatten(1))
    return found.value, found.stderr
