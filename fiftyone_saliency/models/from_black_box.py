"""Black boxes: an ONNX file, or any function from images to scores. Only their answers are seen, no gradients."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.options import LoadOptions, import_extra
from fiftyone_saliency.models.preprocessing import MisfitError

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
# How protobuf writes the entry ("location", name) of a tensor that lies in another file.
_LOCATION = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])", re.DOTALL)


def matches(source: Any) -> bool:
    """Return whether it is the path of an ONNX file, or a function."""
    if isinstance(source, (str, Path)):
        return str(source).endswith(".onnx")
    return callable(source) and not isinstance(source, type)


def load(source: Any, options: LoadOptions) -> ModelAdapter:
    """Wrap a black box: it is asked with images (N, C, H, W) and answers with scores (N, K).

    Raises:
        ModelError: if the file is no such network, or classes or preprocessing are missing.
        MissingExtraError: if onnxruntime is not installed but needed.
    """
    is_file = isinstance(source, (str, Path))
    name = Path(source).name if is_file else getattr(source, "__name__", type(source).__name__)
    options.refuse("weights", name)
    options.refuse("prompts", name)
    box = OnnxFile(Path(source)) if is_file else PlainFunction(source)
    # Its answers tell a softmax by their sums; a sigmoid is only to be read in the file.
    scores = "sigmoid" if isinstance(box, OnnxFile) and box.operator == "Sigmoid" else None
    model = options.adapt(box, name, differentiable=False, scores=scores)
    if isinstance(box, PlainFunction):
        # One that takes images of one size only is asked when it has met its data.
        with suppress(MisfitError):
            _ = model.scoring
    return model


class OnnxFile(nn.Module):
    """A network in an ONNX file, run by onnxruntime.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        runtime = import_extra("onnxruntime", "onnx", path)
        try:
            settings = runtime.SessionOptions()
            settings.intra_op_num_threads = torch.get_num_threads()
            self._session = runtime.InferenceSession(path, settings, runtime.get_available_providers())
            content = path.read_bytes()
            self._sha256 = _file_digest(path, content)
            self.operator = _last_operator(content, self._session.get_outputs()[0].name.encode())
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise ModelError(f"Expected {path} to be an ONNX file, but got: {reason}") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _TYPES:
            got = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
            raise ModelError(
                f"Expected {path} to take one float input (N, C, H, W), but got {got}. "
                "Export the network without its preprocessing."
            )
        self._input, self._type = inputs[0].name, _TYPES[inputs[0].type]
        rows = inputs[0].shape[0]
        self._rows: int | None = rows if isinstance(rows, int) else None

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores (N, K) of images (N, C, H, W)."""
        rows = self._rows or len(images)
        parts = []
        for i in range(0, len(images), rows):
            part = images[i : i + rows].detach().cpu().numpy().astype(self._type)
            # A network of a fixed batch size is always given full batches.
            padded = np.concatenate([part, np.repeat(part[-1:], rows - len(part), axis=0)])
            parts.append(self._session.run(None, {self._input: padded})[0][: len(part)])
        return torch.from_numpy(np.concatenate(parts)).to(images.device)

    def extra_repr(self) -> str:
        """Return what tells this network from others: it is part of the model's fingerprint."""
        return f"sha256={self._sha256}"


class PlainFunction(nn.Module):
    """Any function from images to scores.

    Args:
        function: takes float32 images (N, C, H, W) on the CPU, returns scores (N, K), tensor or array.
    """

    # It has no weights: what it answers to a drawn image is part of the model's fingerprint.
    known_by_answers = True

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self._function = function

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores (N, K) of images (N, C, H, W)."""
        with torch.no_grad():
            scores = self._function(images.detach().float().cpu())
        try:
            return torch.as_tensor(scores).detach().to(images.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"Expected the function to return scores (N, K), a tensor or array, but got a {type(scores).__name__}."
            ) from error

    def extra_repr(self) -> str:
        """Return the function's name: part of the model's fingerprint."""
        named = self._function if hasattr(self._function, "__qualname__") else type(self._function)
        return f"{named.__module__}.{named.__qualname__}"


def _last_operator(content: bytes, output: bytes) -> str | None:
    """Return the operator that makes an output, such as "Sigmoid", as far as the file's bytes tell.

    Protobuf writes a node as tagged fields: its outputs (2), its name (3) if it has one, its operator (4).
    """
    if len(output) > 127:
        return None
    for found in re.finditer(re.escape(b"\x12" + bytes([len(output)]) + output), content):
        at = found.end()
        if content[at : at + 1] == b"\x1a" and content[at + 1] < 128:
            at += 2 + content[at + 1]
        if content[at : at + 1] == b"\x22":
            return content[at + 2 : at + 2 + content[at + 1]].decode(errors="replace")
    return None


def _file_digest(path: Path, content: bytes) -> str:
    """Return the SHA-256 over an ONNX file and the files beside it that hold its tensors."""
    digest = hashlib.sha256(content)
    starts = ((found.end(), found[1][0]) for found in _LOCATION.finditer(content))
    for location in sorted({content[start : start + length] for start, length in starts}):
        beside = path.parent / location.decode(errors="replace")
        if beside.is_file():
            digest.update(beside.read_bytes())
    return digest.hexdigest()
