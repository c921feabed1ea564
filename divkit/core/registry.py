"""The door for names: strings become divergences here and nowhere else."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Container, Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeVar

from divkit.support.spelling import meant
from divkit.support.warnings import caution

if TYPE_CHECKING:
    from divkit.core.divergence import Divergence

__all__ = ["accept", "build", "get", "named", "names", "options", "register"]

Factory = Callable[..., "Divergence"]
Made = TypeVar("Made")

_FACTORIES: dict[str, Factory] = {}
_MAKERS: dict[type, Callable[[Any], Divergence]] = {}
_FAMILIES = ("divkit.fdiv", "divkit.transport", "divkit.kernel", "divkit.critic")
_loaded: list[bool] = []


def register(name: str, factory: Factory) -> None:
    """Make `get(name, **fields)` call ``factory(**fields)``.

    Raises
    ------
    ValueError
        If the name is taken.

    Examples
    --------
    >>> import divkit as dk
    >>> "energy" in dk.names()
    True
    >>> dk.register("energy", dk.get)
    Traceback (most recent call last):
    ValueError: the name 'energy' is registered already; choose another.
    """
    if name in _FACTORIES:
        raise ValueError(f"the name {name!r} is registered already; choose another.")
    _FACTORIES[name] = factory


def accept(kind: type, maker: Callable[[Any], Divergence]) -> None:
    """Let objects of a class stand wherever a divergence is named: `maker` turns one into a divergence.

    Examples
    --------
    >>> import divkit as dk
    >>> dk.get("js") == dk.Criterion(dk.fdiv.JS).divergence
    True
    """
    _MAKERS[kind] = maker


def names() -> tuple[str, ...]:
    """Return all registered names.

    Examples
    --------
    >>> import divkit as dk
    >>> "energy" in dk.names()
    True
    """
    _load()
    return tuple(_FACTORIES)


def get(name: str, **fields: Any) -> Divergence:
    """Return the divergence of a registered name, its fields set by keyword.

    Parameters
    ----------
    name : str
        One of `names()`; fields may follow a colon as on the command line, ``"alpha:order=.5,…"``.
    **fields
        The divergence's own settings.

    Raises
    ------
    ValueError
        For an unknown name or field, or a value out of range.

    Examples
    --------
    >>> import divkit as dk
    >>> dk.get("w2", gap=1e-4) == dk.get("w2:gap=1e-4")
    True
    """
    _load()
    if not isinstance(name, str):
        raise TypeError(f"a divergence is named by a string such as 'energy'; got {type(name).__name__}.")
    head = name.partition(":")[0]
    if head not in _FACTORIES:
        hint = meant(head, _FACTORIES, "dk.names() and `divkit list` have all that are known.")
        raise ValueError(f"unknown divergence {head!r}; {hint}")
    return build(name, _FACTORIES, "divergence", fields)


def build(name: str, factories: Mapping[str, Callable[..., Made]], kind: str, fields: Mapping[str, Any]) -> Made:
    """Call the factory that ``"NAME:key=value,…"`` names, with the options behind the colon and the fields given by keyword.

    `kind` says in the messages what the factory makes. NAME must be a key of `factories`.
    """
    head, _, text = name.partition(":")
    parameters = inspect.signature(factories[head]).parameters
    written = _options(text, name, _words(parameters))
    if twice := sorted(written.keys() & fields.keys()):
        raise ValueError(f"{', '.join(twice)} of {name!r} is given twice: behind the colon and by keyword; leave one out.")
    options = {**written, **fields}
    if unknown := [key for key in options if key not in parameters]:
        raise ValueError(f"{kind} {head!r} has no option {', '.join(unknown)}; it has {', '.join(parameters) or 'none'}.")
    if missing := [key for key, p in parameters.items() if p.default is p.empty and key not in options]:
        raise ValueError(f"{kind} {head!r} needs {', '.join(missing)}: write {head}:{missing[0]}=… or {missing[0]}=….")
    try:
        return factories[head](**options)
    except TypeError as error:
        raise ValueError(f"{kind} {head!r}: {error}") from error


def named(divergence: Any, **fields: Any) -> tuple[str, Divergence]:
    """Return a divergence with its name: a name stays as it was written.

    A record, a dual or a kernel is turned into a divergence by what its family told `accept`.

    Raises
    ------
    TypeError
        For anything else, and for fields beside a divergence that has its own.
    """
    from divkit.core.divergence import Divergence

    if isinstance(divergence, str):
        return divergence, get(divergence, **fields)
    if fields:
        raise TypeError(f"fields ({', '.join(fields)}) go with a name; this divergence has its own: use dataclasses.replace.")
    maker = next((_MAKERS[kind] for kind in type(divergence).__mro__ if kind in _MAKERS), None)
    if maker is not None:
        divergence = maker(divergence)
    if not isinstance(divergence, Divergence):
        raise TypeError(
            f"a divergence is named by a string, is a Divergence, or a record, dual or kernel that makes one; "
            f"got {divergence.__name__ if isinstance(divergence, type) else type(divergence).__name__}."
        )
    return divergence.name, divergence


def options(name: str) -> tuple[str, ...]:
    """Return the fields that `get(name, …)` accepts by keyword.

    Examples
    --------
    >>> from divkit.core import registry
    >>> registry.options("w2")
    ('gap', 'rounds')
    """
    _load()
    return tuple(inspect.signature(_FACTORIES[name]).parameters)


def _words(parameters: Mapping[str, inspect.Parameter]) -> set[str]:
    """Return the options whose values may be words, by their annotations."""
    return {key for key, parameter in parameters.items() if "str" in str(parameter.annotation)}


def _options(text: str, full_name: str, word_keys: Container[str] = ()) -> dict[str, Any]:
    """Return the options behind a name's colon, ``key=value,key=value``; those of `word_keys` may have a word for value."""
    options: dict[str, Any] = {}
    for item in filter(None, text.split(",")):
        key, equals, value = item.partition("=")
        if not equals:
            raise ValueError(f"in {full_name!r} the option {item!r} has no value; write NAME:key=value,key=value.")
        options[key.strip()] = _literal(value.strip(), key.strip() in word_keys)
    return options


def _literal(text: str, word: bool) -> Any:
    """Return the number, truth value or None that a text spells, or the text where a word is admitted."""
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    if word:
        return text
    raise ValueError(f"option value {text!r} is neither a number, true, false nor none.")


def _load() -> None:
    """Import the families, then other packages' entry points in the group ``divkit.divergences``."""
    if _loaded:
        return
    _loaded.append(True)
    for family in _FAMILIES:
        importlib.import_module(family)
    for point in entry_points(group="divkit.divergences"):
        try:
            point.load()
        except Exception as error:  # a broken plug-in must not take the others along
            caution(f"the plug-in {point.name!r} could not be loaded: {error!r}.", UserWarning)
