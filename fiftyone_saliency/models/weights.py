"""Weights of a local file into a network: only tensors are read, never code, and only if all of them fit."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fiftyone_saliency.core.errors import ModelError

_HOLDERS = ("state_dict", "model_state_dict", "model")
# DataParallel, torch.compile and Lightning put these before the names of the network that they hold.
_WRAPPERS = ("module.", "_orig_mod.", "model.")
_SHOWN = 3


def load_weights(module: nn.Module, path: str | Path, name: str) -> None:
    """Read a state dict from a file into a network; where something does not fit, the network is left as it was.

    The file is safetensors, or what ``torch.save`` makes of a state dict, also inside ``{"state_dict": ...}``
    or ``{"model": ...}``; prefixes that DataParallel and ``torch.compile`` leave in names are taken off.

    Args:
        module: the network.
        path: the file.
        name: what a person calls the network.

    Raises:
        ModelError: if the file cannot be read, holds code, or names or shapes differ from the network's.
    """
    path = Path(path)
    try:
        given = _plain_names(_tensors(_read(path)))
        own = _plain_names({key: key for key in module.state_dict()})
        _check(given, {plain: module.state_dict()[key] for plain, key in own.items()})
        module.load_state_dict({own[plain]: value for plain, value in given.items()})
    except Exception as error:
        reason = " ".join(str(error).split())[:500] or type(error).__name__
        raise ModelError(f"Expected {path} to hold a state dict for {name}, but got: {reason}") from error


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            "a file that only opens by running code from it, such as a whole pickled model. Where you trust it, save "
            f"its weights alone: torch.save(model.state_dict(), path) or safetensors. ({str(error)[:120]})"
        ) from error


def _tensors(found: Any) -> dict[str, Any]:
    for holder in _HOLDERS:
        if isinstance(found, Mapping) and isinstance(found.get(holder), Mapping):
            found = found[holder]
            break
    if not isinstance(found, Mapping) or not any(isinstance(value, Tensor) for value in found.values()):
        raise ModelError(f"a {type(found).__name__} without tensors. Save `model.state_dict()`.")
    return {str(key): value for key, value in found.items()}


def _plain_names(state: Mapping[str, Any]) -> dict[str, Any]:
    """Take off prefixes that all names share, and what a compiled part leaves inside them."""
    names = list(state)
    while wrapper := next((w for w in _WRAPPERS if names and all(name.startswith(w) for name in names)), None):
        names = [name.removeprefix(wrapper) for name in names]
    return dict(zip((name.replace("_orig_mod.", "") for name in names), state.values(), strict=True))


def _check(given: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    # Files older than this counter lack it; torch fills it in.
    missing = [key for key in own if key not in given and not key.endswith("num_batches_tracked")]
    unlike = [
        f"{key} {tuple(given[key].shape)} instead of {tuple(value.shape)}"
        for key, value in own.items()
        if isinstance(value, Tensor) and isinstance(given.get(key), Tensor) and given[key].shape != value.shape
    ]
    found = {"missing": missing, "unknown": [key for key in given if key not in own], "size mismatch for": unlike}
    problems = [f"{what} {_short(keys)}" for what, keys in found.items() if keys]
    if problems:
        raise ModelError("; ".join(problems) + ". Use the architecture and the class list it was trained with.")


def _short(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")
