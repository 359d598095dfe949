"""Weights of a local file into a network: only tensors are read, never code, and only if all of them fit."""

from __future__ import annotations

import argparse
import logging
import pathlib
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.models.checkpoints import fit

_GLOBAL = re.compile(r"GLOBAL (\S+)")
_LOG = logging.getLogger("fiftyone_saliency")


def load_weights(module: nn.Module, path: str | Path, name: str) -> None:
    """Read the weights of a network out of a file; where they do not fit, the network is left as it was.

    The file is safetensors, or what ``torch.save`` makes of a state dict, alone or inside a checkpoint. What else the
    checkpoint holds, such as the weights of a loss or the state of a metric, is left out and named in the log.

    Args:
        module: the network.
        path: the file.
        name: what a person calls the network.

    Raises:
        ModelError: if the file cannot be read, holds code, or names or shapes differ from the network's.
    """
    path = Path(path)
    try:
        found = fit(_read(path), module.state_dict())
        module.load_state_dict(found.state, strict=False)
    except Exception as error:
        reason = " ".join(str(error).split())[:600] or type(error).__name__
        raise ModelError(f"Expected {path} to hold a state dict for {name}, but got: {reason}") from error
    if found.rest:
        _LOG.warning("%s took its weights from %s; left out, as not its own: %s.", name, path.name, found.named_rest)


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    _refuse_programs(path)
    try:
        with torch.serialization.safe_globals(_plain_values()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        foreign = _GLOBAL.search(str(error))
        what = f"(it needs {foreign[1]})" if foreign else f"({str(error)[:120]})"
        raise ModelError(
            "a file that only opens by running code from it, such as a whole pickled model. Where you trust it, save "
            f"its weights alone: torch.save(model.state_dict(), path) or safetensors. {what}"
        ) from error


def _refuse_programs(path: Path) -> None:
    """Raise if the file holds a whole network as a program, and say how to get at its weights."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        files = {name.rpartition("/")[2] for name in archive.namelist()}
    opened = {
        "constants.pkl": "torch.jit.load(path).state_dict()",
        "archive_format": "torch.export.load(path).state_dict",
    }
    for file, way in opened.items():
        if file in files:
            raise ModelError(f"a whole network as a program. Save its weights alone: torch.save({way}, new_path).")


def _plain_values() -> list[Any]:
    """Return the types of plain values that training loops store beside weights: reading them runs no code."""
    scalar: Any = np.float64(0).__reduce__()[0]
    array: Any = np.zeros(0).__reduce__()[0]
    kinds = {type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64, np.bool_)}
    # NumPy 1 and 2, and Python before and after 3.13, name the same things differently.
    elsewhere = [(scalar, "numpy.core.multiarray.scalar"), (array, "numpy.core.multiarray._reconstruct")]
    paths = [
        (pure, f"{module}.{name}")
        for pure, name in ((pathlib.PurePosixPath, "PosixPath"), (pathlib.PureWindowsPath, "WindowsPath"))
        for module in ("pathlib", "pathlib._local")
    ]
    return [argparse.Namespace, np.dtype, np.ndarray, scalar, array, *kinds, *elsewhere, *paths]
