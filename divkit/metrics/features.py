"""Features of a classifier that is trained here, and distances of images on such features."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from divkit.core.estimate import Estimate
from divkit.data.measure import Measure
from divkit.kernel.kernels import Polynomial
from divkit.kernel.mmd import MMD
from divkit.transport.gaussian import GaussianWasserstein

__all__ = ["Features", "frechet", "kid", "train_features"]


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
    def __call__(self, x: Any) -> Tensor:  # (n, *event) -> (n, features)
        """Return the features of images, a thousand at a time."""
        return torch.cat([self.body(images) for images in torch.split(_images(x), 1000)])


def train_features(x: tuple[Any, Any], labels: tuple[Any, Any], width: int = 64, steps: int = 1000, seed: int = 0) -> Features:
    """Train a small perceptron to tell the labels of (training, held-out) images.

    Parameters
    ----------
    x, labels : pairs of array-like
        Images (n, *event) and their labels (n,), whole numbers from 0 on: to train on, held out.
    width : int
        Number of features.
    steps : int
        Steps of Adam, on 128 images each.
    seed : int
    """
    images, test_images = map(_images, x)
    label, test_label = map(torch.as_tensor, labels)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        size = images.shape[1:].numel()
        body = nn.Sequential(nn.Flatten(), nn.Linear(size, 256), nn.ReLU(), nn.Linear(256, width), nn.ReLU())
        head = nn.Linear(width, int(label.max()) + 1)
        parameters = [*body.parameters(), *head.parameters()]
        optimiser = torch.optim.Adam(parameters, lr=1e-3, fused=True)
        for _ in range(steps):
            rows = torch.randint(len(images), (128,))
            optimiser.zero_grad()
            nn.functional.cross_entropy(head(body(images[rows])), label[rows]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    with torch.no_grad():
        accuracy = float((head(body(test_images)).argmax(1) == test_label).double().mean())
    content = b"".join(p.detach().numpy().tobytes() for p in parameters)
    return Features(body.eval(), head.eval(), accuracy, hashlib.sha256(content).hexdigest()[:12])


def frechet(x: Any, y: Any) -> Estimate:
    """Estimate the Fréchet distance of two sets' means and covariances, on features what is called FID.

    That is ``divkit.estimate("fid", x, y)``: biased above, so compare at equal sizes only. Source: Heusel et al. (2017).

    Examples
    --------
    >>> x = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    >>> abs(frechet(x, x + 2.0).value - 12.0) < 1e-5
    True
    """
    return GaussianWasserstein().estimate(x, y, name="fid")


def kid(x: Any, y: Any) -> Estimate:
    """Estimate the kernel distance of two sets, unbiased: on features ``divkit.estimate("kid", x, y)``."""
    return MMD(Polynomial()).estimate(x, y, name="kid")


def _images(x: Any) -> Tensor:  # -> (n, *event)
    """Return images in the dtype of the networks."""
    return Measure(x).parts[0].detach().to(torch.get_default_dtype())
