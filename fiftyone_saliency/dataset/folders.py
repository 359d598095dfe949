"""The folders that someone at a browser may name: the App's forms read and write nowhere else on the server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fiftyone as fo

from fiftyone_saliency.core.errors import ArgumentError

FOLDERS = "FIFTYONE_SALIENCY_FOLDERS"
"""Environment variable that lists the folders, separated as in PATH; unset, it is FiftyOne's folder of datasets."""


def allowed_folders() -> list[Path]:
    """Return the folders, resolved; none where the variable is set and empty."""
    listed = os.environ.get(FOLDERS)
    names = [str(fo.config.default_dataset_dir)] if listed is None else listed.split(os.pathsep)
    return [Path(name).expanduser().resolve() for name in names if name.strip()]


def require_allowed(path: Any, argument: str) -> Path:
    """Return a path that came from a form, resolved: no link and no ``..`` of it leads out of the folders.

    Args:
        path: the path as it was typed, absolute or from ``~``.
        argument: name of the parameter, for the message.

    Raises:
        ArgumentError: if it is no full path, or lies outside of the folders.
    """
    if not isinstance(path, (str, Path)) or not str(path).strip():
        raise ArgumentError(f"Expected `{argument}` to be a full path, but got {path!r}. Type one.")
    try:
        full = Path(path).expanduser()
        resolved = full.resolve()
        # Asks the file system: a name may be too long for it.
        resolved.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        # RuntimeError: a user or a loop of links; ValueError: a NUL.
        raise ArgumentError(f"Expected `{argument}` to be a path, but got {str(path)[:200]!r}: {error}.") from error
    if not full.is_absolute():
        raise ArgumentError(
            f"Expected `{argument}` to be a full path, but got {str(path)[:200]!r}. Start it with / or ~."
        )
    folders = allowed_folders()
    if not any(resolved.is_relative_to(folder) for folder in folders):
        inside = " or ".join(map(str, folders)) or "a folder that is allowed, of which there is none"
        raise ArgumentError(
            f"Expected `{argument}` to lie in {inside}, but got {str(path)[:200]!r}. Choose a place there, or let "
            f"whoever runs the server add the folder to the environment variable {FOLDERS}."
        )
    return resolved
