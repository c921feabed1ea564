"""Other people's estimators of f-divergences behind one signature: arrays x, y in, values by name out.

Each is used as its documentation shows it. A rival that is not installed is left out.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import divkit as dk

# densratio's threads are numba's, which would stay awake beside those of the others
os.environ.setdefault("NUMBA_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))

__all__ = ["NAMES", "RIVALS", "Values"]

NAMES = ("kl", "js", "squared-hellinger", "tv")
Values = dict[str, float]
Rival = Callable[[np.ndarray, np.ndarray], Values]


def divkit(x: np.ndarray, y: np.ndarray) -> Values:
    """Ours: one cross-fitted logit for the four."""
    made = {}
    solution = None
    with quiet():
        for name in NAMES:
            e = dk.get(name).estimate(x, y, solution=solution)
            solution, made[name] = e.solution, e.value
    return made


def divkit_neighbours(x: np.ndarray, y: np.ndarray) -> Values:
    """Ours: five nearest neighbours."""
    return {"kl": dk.estimate("kl-knn", x, y).value}


def classifier(make: Callable[[], object]) -> Rival:
    """A scikit-learn classifier's out-of-fold probabilities, plugged into the divergences: what is usually done by hand."""

    def values(x: np.ndarray, y: np.ndarray) -> Values:
        rows, labels = np.concatenate([x, y]), np.repeat([1, 0], [len(x), len(y)])
        p = cross_val_predict(make(), rows, labels, cv=5, method="predict_proba")[:, 1]
        return plug_in(np.clip(p, 1e-6, 1 - 1e-6), labels == 1, len(y) / len(x))

    return values


def plug_in(p: np.ndarray, is_x: np.ndarray, odds: float) -> Values:
    """E_P log r, and the others as means of functions of r over y."""
    r = p / (1 - p) * odds
    return {
        "kl": float(np.log(r[is_x]).mean()),
        "js": float((np.log(2 * r[is_x] / (1 + r[is_x])).mean() + np.log(2 / (1 + r[~is_x])).mean()) / 2),
        "squared-hellinger": float(2 - 2 * np.sqrt(r[~is_x]).mean()),
        "tv": float(np.abs(r[~is_x] - 1).mean() / 2),
    }


def ulsif(x: np.ndarray, y: np.ndarray) -> Values:
    """densratio's least-squares importance fitting; its ratios reach 0, and are floored where a logarithm is taken of them."""
    from densratio import densratio

    with contextlib.redirect_stdout(io.StringIO()):
        found = densratio(x, y, verbose=False)
    with np.errstate(divide="ignore"):
        on_x, on_y = (np.maximum(found.compute_density_ratio(points), 1e-3) for points in (x, y))
    r, is_x = np.concatenate([on_x, on_y]), np.repeat([True, False], [len(x), len(y)])
    return plug_in(r / (1 + r), is_x, 1.0)


def divergence_neighbours(x: np.ndarray, y: np.ndarray) -> Values:
    """divergence's nearest neighbours."""
    import divergence

    return {"kl": float(divergence.knn_kl_divergence(x, y))}


def divergence_densities(x: np.ndarray, y: np.ndarray) -> Values:
    """divergence's kernel densities, on the line only."""
    import divergence

    if x.shape[1] > 1:
        return {}
    p, q = x[:, 0], y[:, 0]
    return {
        "kl": float(divergence.relative_entropy_from_samples(p, q)),
        "js": float(divergence.jensen_shannon_divergence_from_samples(p, q)),
        "squared-hellinger": float(divergence.squared_hellinger_distance(p, q)),
        "tv": float(divergence.total_variation_distance(p, q)),
    }


def iwpc(x: np.ndarray, y: np.ndarray) -> Values:
    """iwpc's neural lower bound of KL, with the model and the patience of its examples."""
    os.environ["DISABLE_IWPC_WELCOME"] = "1"
    from iwpc.data_modules.numpy_data_module import BinaryNumpyDataModule
    from iwpc.divergences.calculate_divergence import calculate_divergence
    from iwpc.divergences.kl_divergence import KLDivergence
    from iwpc.divergences.naive import GenericNaiveVariationalFDivergenceEstimator

    for name in ("lightning", "lightning.pytorch", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    data = BinaryNumpyDataModule(x.astype(np.float32), y.astype(np.float32), dataloader_kwargs={"batch_size": 512})
    module = GenericNaiveVariationalFDivergenceEstimator(x.shape[1], KLDivergence())
    with tempfile.TemporaryDirectory() as folder, quiet(), contextlib.redirect_stdout(io.StringIO()):
        options = {"max_epochs": 60, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
        with torch.serialization.safe_globals([KLDivergence]):  # its checkpoints hold one
            found = calculate_divergence(module, data, patience=10, log_dir=folder, trainer_kwargs=options)
    return {"kl": float(found.divergence)}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


RIVALS: dict[str, Rival] = {
    "divkit": divkit,
    "divkit kl-knn": divkit_neighbours,
    "sklearn logistic": classifier(lambda: make_pipeline(StandardScaler(), LogisticRegression())),
    "sklearn boosting": classifier(HistGradientBoostingClassifier),
    "sklearn k-NN": classifier(lambda: make_pipeline(StandardScaler(), KNeighborsClassifier(50))),
    "densratio uLSIF": ulsif,
    "divergence k-NN": divergence_neighbours,
    "divergence KDE": divergence_densities,
    "iwpc": iwpc,
}
