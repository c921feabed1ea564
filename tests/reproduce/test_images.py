"""The image systems and mode seeking: what needs no long training."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from divkit.models import load
from divkit.models.data import mosaic
from divkit.reproduce import CASES, Setup, images, mode_seeking, systems
from divkit.reproduce.images import Judgement, features_of, judge

SYSTEMS = {system.name: system for system in systems.SYSTEMS}


@pytest.fixture(scope="module")
def bounds() -> dict[str, Any]:
    return images._yardsticks(Judgement(), 0)


def test_yardsticks_are_in_order(bounds: dict[str, Any]) -> None:
    """Training images are nearer to held-out ones than a normal law of the pixels, by every measure."""
    real, normal = bounds["training"], bounds["normal"]
    assert real["frechet"] < normal["frechet"]
    assert abs(real["kid"]) < 5 * real["kid error"] < normal["kid"] * 5
    for key in ("parzen", "precision", "recall", "density", "coverage"):
        assert real[key] > normal[key]


def test_what_was_judged_can_be_kept(bounds: dict[str, Any]) -> None:
    assert json.loads(json.dumps(bounds)) == bounds
    assert np.asarray(bounds["normal"]["images"]).max() <= 255


def test_constant_images_are_worthless(bounds: dict[str, Any]) -> None:
    data = load("digits", 0)
    found = judge(torch.full((400, 1, 8, 8), 0.5), data, features_of(data))
    assert found["frechet"] > 10 * bounds["normal"]["frechet"]
    assert found["recall"] == 0


def test_a_mosaic_keeps_each_image() -> None:
    x = torch.arange(4.0)[:, None, None, None].expand(4, 1, 2, 2)
    assert mosaic(x).tolist() == [
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 2, 2, 0, 0, 3, 3, 0],
        [0, 2, 2, 0, 0, 3, 3, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ]


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_is_made(name: str) -> None:
    data = load("digits", 0)
    for variant in SYSTEMS[name].variants.values():
        model, training = variant.make(data, 0)
        assert model.sample(3).shape == (3, 1, 8, 8)
        assert bool(torch.isfinite(model.loss(data.train[: training.batch])))


@pytest.mark.parametrize("full", [False, True])
def test_rows(full: bool, bounds: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Training images in a model's place pass; in the short form pictures are not judged."""
    perfect = {**bounds["training"], "elbo": -25.0, "iwae": -24.0, "draws": 200}
    monkeypatch.setattr(images, "_one", lambda *_: perfect)
    monkeypatch.setattr(images, "_yardsticks", lambda *_: bounds)
    rows = CASES["gumbel-vae"].run(Setup(full=full)).rows
    judged = [row for row in rows if row.passed is not None]
    assert len(judged) == (6 if full else 2)
    assert all(row.passed for row in judged)
    spread = next(row.stderr for row in rows if row.quantity.startswith("Fréchet"))
    assert spread == (0.0 if full else None)
    papers = {row.paper: row.difference for row in rows if row.paper is not None}
    assert papers == {-101.5: 76.5, -107.8: pytest.approx(82.8)}


def test_kl_matches_moments_and_reverse_kl_a_mode() -> None:
    best = {name: mode_seeking.optimum(mode_seeking.TABLE[name]) for name in ("kl", "reverse-kl")}
    assert all(row.passed for row in mode_seeking._extremes(best, 1e-3))
    assert best["kl"][1] == pytest.approx(math.sqrt(0.25 + 0.24 * 9), abs=1e-3)


def test_samples_of_two_modes() -> None:
    x = mode_seeking.draw(200_000, torch.Generator().manual_seed(0))
    assert float(x.mean()) == pytest.approx(mode_seeking.TARGET.mean, abs=0.02)
    assert float(x.std()) == pytest.approx(mode_seeking.TARGET.deviation, abs=0.02)


@pytest.mark.slow
def test_a_generator_seeks_and_covers() -> None:
    protocol, start = mode_seeking.ModeSeeking(), (-1.5, 0.5)  # at a mode
    assert mode_seeking.train(protocol, "reverse-kl", start, 800, 0)[1] == pytest.approx(0.51, rel=0.1)
    assert mode_seeking.train(protocol, "kl", start, 800, 0)[1] == pytest.approx(1.55, rel=0.1)
