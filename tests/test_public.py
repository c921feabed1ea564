"""What users may rely on: names, docstrings, types, and a pinned environment that is complete."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import pkgutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import divkit as dk

ROOT = Path(__file__).resolve().parents[1]
CONTRACT = [
    "Criterion",
    "Measure",
    "compare",
    "estimate",
    "exact",
    "fdiv.KL",
    "fdiv.TABLE",
    "get",
    "kernels.IMQ",
    "names",
    "test",
]
REGISTERED = [
    *(
        "kl",
        "reverse-kl",
        "pearson",
        "neyman",
        "squared-hellinger",
        "jeffreys",
        "js",
        "fgan-js",
        "gan",
        "tv",
        "le-cam",
        "lin-k",
    ),
    *("alpha:order=.5", "weighted-js:weight=.3", "skew-kl", "relative-pearson", "kl-knn"),
    *("w1", "w2", "sinkhorn", "entropic-ot", "sliced-w1", "sliced-w2", "max-sliced-w2", "gaussian-w2"),
    *("mmd", "mmd-laplace", "mmd-imq", "kid", "energy", "cramer"),
]
FRONT = ("divkit", "divkit.fdiv", "divkit.kernel", "divkit.kernel.kernels", "divkit.transport")  # methods count here


def _modules() -> list[str]:
    return ["divkit", *(module.name for module in pkgutil.walk_packages(dk.__path__, "divkit."))]


def _public(module: ModuleType) -> Iterator[tuple[str, object]]:
    for name in getattr(module, "__all__", []):
        value = getattr(module, name)
        if not callable(value) or not getattr(value, "__module__", "").startswith("divkit"):
            continue
        yield f"{module.__name__}.{name}", value
        if inspect.isclass(value) and module.__name__ in FRONT:
            methods = inspect.getmembers(value, callable)
            yield from (
                (f"{module.__name__}.{name}.{key}", method) for key, method in methods if key in vars(value) and key[0] != "_"
            )


@pytest.mark.parametrize("name", CONTRACT)
def test_contract(name: str) -> None:
    value: object = dk
    for part in name.split("."):
        value = getattr(value, part)


@pytest.mark.parametrize("name", dk.__all__)
def test_every_name_of_the_front_door_resolves(name: str) -> None:
    assert getattr(dk, name) is not None
    assert name in dir(dk)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'kullback'"):
        _ = dk.kullback


@pytest.mark.parametrize("name", REGISTERED)
def test_registered_names(name: str) -> None:
    assert isinstance(dk.get(name), dk.Divergence)
    assert name.partition(":")[0] in dk.names()


@pytest.mark.parametrize("name", _modules())
def test_every_public_callable_has_a_docstring(name: str) -> None:
    module = importlib.import_module(name)
    missing = [where for where, value in _public(module) if not inspect.getdoc(value)]
    assert module.__doc__ or module.__file__ is None or not Path(module.__file__).read_text().strip(), (
        f"{name} has no docstring"
    )
    assert not missing


def test_types_are_shipped() -> None:
    assert (files("divkit") / "py.typed").is_file()


def test_version() -> None:
    assert dk.__version__ == importlib.metadata.version("divkit")


def test_constraints_pin_everything_that_is_installed_for_divkit() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(line.count("==") == 1 for line in lines)
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines}
    extras = importlib.metadata.metadata("divkit").get_all("Provides-Extra") or []
    needed = _closure("divkit", frozenset(extras), set()) - {"divkit"}
    assert not needed - pinned


def _closure(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> set[str]:
    """Names of the distributions that an installed one requires, itself included; those not installed end the walk."""
    key = (canonicalize_name(name), extras)
    if key in seen:
        return set()
    seen.add(key)
    try:
        requires = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return {key[0]}
    names = {str(key[0])}
    for requirement in map(Requirement, requires):
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in (*extras, "")):
            names |= _closure(requirement.name, frozenset(requirement.extras), seen)
    return names
