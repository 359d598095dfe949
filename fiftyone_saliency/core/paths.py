"""Paths that a caller gives, checked before anything is made of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fiftyone_saliency.core.errors import ArgumentError


def full_path(value: Any, argument: str) -> Path:
    """Return the absolute path of a place that is free to be asked about; ``~`` is the home folder.

    Args:
        value: a text or path; relative ones start at the working folder.
        argument: name of the parameter, for the message.

    Raises:
        ArgumentError: if it is no path, or one that the system cannot have, or lies below a file.
    """
    if not isinstance(value, (str, Path)) or not str(value).strip() or "\0" in str(value):
        raise ArgumentError(f"Expected `{argument}` to be a path, but got {value!r}. Name a place.")
    shown = repr(str(value))[:200]
    try:
        path = Path(value).expanduser().absolute()
        above = next(folder for folder in path.parents if os.path.lexists(folder))
        # Asks the file system: a name may be too long for it.
        path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        raise ArgumentError(f"Expected `{argument}` to be a path, but got {shown}: {error}.") from error
    if not above.is_dir():
        raise ArgumentError(f"Expected `{argument}` to lie in a folder, but {above} is none. Choose another place.")
    return path
