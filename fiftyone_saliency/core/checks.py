"""Checks of arguments that raise in one voice."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fiftyone_saliency.core.errors import ArgumentError, UnknownNameError


def check_range(value: Any, name: str, low: float | None = None, high: float | None = None) -> None:
    """Raise unless ``low <= value <= high``.

    Raises:
        ArgumentError: if ``value`` is not a number in the range.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and (low is None or value >= low) and (high is None or value <= high):
        return
    if high is None:
        wanted = f"a number of at least {low}"
    elif low is None:
        wanted = f"a number of at most {high}"
    else:
        wanted = f"a number from {low} to {high}"
    raise ArgumentError(f"Expected `{name}` to be {wanted}, but got {value!r}.")


def check_int(value: Any, name: str, low: int) -> None:
    """Raise unless ``value`` is an integer of at least ``low``.

    Raises:
        ArgumentError: if it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ArgumentError(f"Expected `{name}` to be an integer of at least {low}, but got {value!r}.")


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
