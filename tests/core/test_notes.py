"""Notes: their keys are in one table, and solutions hold numbers only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor
from traits import TRAITS, samples

import divkit as dk
from divkit.core.notes import Note, NoteKind
from divkit.data.measure import pair


def made(name: str) -> dk.Divergence:
    return dk.get(name, **TRAITS[name].fields)


@pytest.mark.parametrize("name", list(TRAITS))
def test_keys_are_in_the_table_and_states_hold_numbers(name: str) -> None:
    x, y = samples()
    divergence = made(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *args, **kwargs: None)
        e = divergence.estimate(x, y)
    assert set(e.notes) <= set(Note)
    assert all(isinstance(note, float | int | str) for note in e.notes.values())
    assert numeric(e.solution.state)


def numeric(state: object) -> bool:
    """Say whether a nested state holds tensors and numbers only."""
    if isinstance(state, Mapping):
        return all(map(numeric, state.values()))
    if isinstance(state, list | tuple):
        return all(map(numeric, state))
    return state is None or isinstance(state, Tensor | float | int)


def test_every_key_has_a_kind_and_a_meaning() -> None:
    for note in Note:
        assert note.meaning and not note.meaning.endswith(".")
        assert (note.kind is NoteKind.CAUTION) == (note.warning is not None)


def test_what_solving_found_out_survives_a_criterion_and_its_state() -> None:
    criterion = dk.Criterion("mmd")
    x = torch.zeros(10, 2)
    criterion(x, x)
    copy = dk.Criterion("mmd")
    copy.load_state_dict(criterion.state_dict())
    for held in (criterion, copy):
        assert held.solution is not None
        assert held.solution.notes[Note.BANDWIDTH_RULE] == "all points coincide; the bandwidth was set to 1"
    state = criterion.state_dict()
    del state["solution"]["notes"]  # as saved before solutions had notes
    copy.load_state_dict(state)


def test_a_caution_is_a_warning_of_its_category() -> None:
    generator = np.random.default_rng(3)
    x, y = generator.standard_t(3, (300, 1)), 1.5 * generator.standard_t(4, (250, 1)) + 0.3
    with pytest.warns(dk.UnreliableEstimate):
        e = dk.estimate("neyman", x, y)
    assert {Note.UNRELIABLE, Note.DISAGREEMENT} & set(e.notes)


def test_measures_of_the_door_are_not_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once an estimate, once a training step, once a comparison."""
    calls: list[object] = []
    for module in ("divkit.core.door", "divkit.core.divergence", "divkit.core.criterion", "divkit.comparison.door"):
        monkeypatch.setattr(f"{module}.pair", lambda *args, **kwargs: calls.append(args) or pair(*args, **kwargs))
    x, y = samples()
    for call in (
        lambda: dk.estimate("energy", x, y),
        lambda: dk.Criterion("energy")(x, y),
        lambda: dk.get("energy").loss(x, y),
        lambda: dk.get("energy").estimate(x, y),
        lambda: dk.compare(x, y, ["energy", "w2"]),
    ):
        calls.clear()
        call()
        assert len(calls) == 1


def test_a_precision_warning_is_given_once() -> None:
    x = torch.randn(50, 1, generator=torch.Generator().manual_seed(0)) + 1e5
    with pytest.warns(dk.PrecisionWarning) as caught:
        dk.estimate("energy", x, x.flip(0) + 1)
    assert len(caught) == 1
