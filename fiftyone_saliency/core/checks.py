"""Checks of arguments that raise in one voice."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import field, fields
from typing import Any

from fiftyone_saliency.core.errors import ArgumentError, UnknownNameError

_BOUNDS = "bounds"


def check_range(value: Any, name: str, low: float | None = None, high: float | None = None) -> None:
    """Raise unless ``low <= value <= high`` and the value is finite.

    Raises:
        ArgumentError: if ``value`` is not a number in the range.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and _is_finite(value)
    if is_number and (low is None or value >= low) and (high is None or value <= high):
        return
    if high is None:
        wanted = f"a number of at least {low}"
    elif low is None:
        wanted = f"a number of at most {high}"
    else:
        wanted = f"a number from {low} to {high}"
    raise ArgumentError(f"Expected `{name}` to be {wanted}, but got {value!r}.")


def check_int(value: Any, name: str, low: int, high: int | None = None) -> None:
    """Raise unless ``value`` is an integer with ``low <= value <= high``.

    Raises:
        ArgumentError: if it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ArgumentError(f"Expected `{name}` to be an integer of at least {low}, but got {value!r}.")
    if high is not None and value > high:
        raise ArgumentError(f"Expected `{name}` to be an integer of at most {high}, but got {value!r}.")


def bounded(default: float, low: float, high: float) -> Any:
    """Declare a number of a frozen dataclass, with the least and the greatest value that make sense.

    What is declared is what `check_bounds` holds values to and what a form shows. An integer as default asks for
    integers.
    """
    return field(default=default, metadata={_BOUNDS: (low, high)})


def bounds_of(owner: Any) -> dict[str, tuple[float, float]]:
    """Return the least and the greatest value of each number that a dataclass has declared by `bounded`."""
    return {f.name: f.metadata[_BOUNDS] for f in fields(owner) if _BOUNDS in f.metadata}


def check_bounds(owner: Any) -> None:
    """Raise unless each number of a dataclass object is what `bounded` declares; call it in ``__post_init__``.

    Raises:
        ArgumentError: if one is not.
    """
    whole = {f.name for f in fields(owner) if isinstance(f.default, int)}
    for name, (low, high) in bounds_of(owner).items():
        if name in whole:
            check_int(getattr(owner, name), name, int(low), int(high))
        else:
            check_range(getattr(owner, name), name, low, high)


def _is_finite(value: float) -> bool:
    # A large integer has no float.
    return isinstance(value, int) or math.isfinite(value)


def check_seed(value: Any, name: str = "seed") -> None:
    """Raise unless ``value`` is a seed that everything here takes: NumPy, PyTorch, scikit-learn and the database.

    Raises:
        ArgumentError: if it is no integer in [0, 2**32).
    """
    check_int(value, name, 0)
    if value >= 2**32:
        raise ArgumentError(f"Expected `{name}` to be an integer below 2**32, but got {value!r}.")


def check_choice(value: Any, name: str, choices: Collection[str]) -> None:
    """Raise unless ``value`` is one of ``choices``.

    Raises:
        UnknownNameError: if it is not; the nearest choices are offered.
    """
    if value not in choices:
        raise UnknownNameError(f"value for `{name}`", value, choices)
