"""Networks that cannot be looked into: TorchScript, exported programs and quantised networks.

They answer, but no layer of theirs can be watched, or no gradient passes: they are asked as black boxes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fiftyone_saliency.models.options import is_of


def is_exported(source: Any) -> bool:
    """Return whether it is what ``torch.export`` makes, which is no module itself."""
    return is_of(source, "torch.export", "ExportedProgram")


def kind_of(module: nn.Module) -> str | None:
    """Return what makes a network one that cannot be looked into, in words; None for all others."""
    for part in module.modules():
        if isinstance(part, torch.jit.ScriptModule):
            return "TorchScript"
        homes = {kind.__module__ for kind in type(part).__mro__}
        if any(home.startswith("torch.export") for home in homes):
            return "an exported program"
        if any("quantized" in home.split(".") for home in homes):
            return "quantised"
        if isinstance(part, torch.fx.GraphModule) and _calls_operators(part):
            return "an exported program"
    return None


# Numbers of classes, and places in files, differ from one process to the next.
_NAMED_BY_CHANCE = re.compile(r"___torch_mangle_\d+\.|#.*")


class Program(nn.Module):
    """Such a network as a black box; it stays on its device and in its mode, and is none of this one's children.

    Args:
        module: the network.
        kind: what it is, in words.
    """

    def __init__(self, module: nn.Module, kind: str) -> None:
        super().__init__()
        # In a list, so that nobody puts it into another mode: exported programs refuse that.
        self._held = [module]
        self._rows = _rows_of(module)
        self._identity = _digest(module)
        self.kind = kind

    @property
    def way_out(self) -> str:
        """What to do where only a network that can be looked into will do."""
        before = "as it was before it was quantised" if self.kind == "quantised" else "in Python"
        return (
            f"It is {self.kind}: for other methods build the network {before} and load its weights into it, "
            "load_model(network, ..., weights=path)."
        )

    def forward(self, images: Tensor) -> Any:
        """Return what the network answers to images (N, C, H, W)."""
        (module,) = self._held
        home = next((p.device for p in module.parameters()), images.device)
        rows = self._rows or len(images)
        answers = []
        with torch.no_grad(), _evaluating(module):
            for start in range(0, len(images), rows):
                part = images[start : start + rows].detach().to(home)
                # A program of a fixed batch size is always given full batches.
                full = torch.cat([part, part[-1:].expand(rows - len(part), *part.shape[1:])])
                answers.append(_tensor(module(full)))
        found = answers if not all(isinstance(answer, Tensor) for answer in answers) else torch.cat(answers)
        return found[: len(images)].to(images.device) if isinstance(found, Tensor) else found[0]

    def extra_repr(self) -> str:
        """Return what tells this network from others: it is part of the model's fingerprint."""
        return f"{self.kind}, sha256={self._identity}"


def _tensor(answer: Any) -> Any:
    """Return the logits of an answer, which may be an object or a mapping that holds them."""
    if isinstance(answer, dict):
        return answer.get("logits", answer)
    return getattr(answer, "logits", answer)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, if it has modes: a frozen or exported one has not."""
    modes = {part: part.training for part in module.modules() if isinstance(getattr(part, "training", None), bool)}
    exported = kind_of(module) == "an exported program"
    try:
        if modes and not exported:
            module.eval()
        yield
    finally:
        if not exported:
            for part, mode in modes.items():
                part.training = mode


def _calls_operators(graph: torch.fx.GraphModule) -> bool:
    """Return whether a graph is of the operators below modules, as export makes it; ``torch.fx`` calls the modules."""
    targets = (node.target for node in graph.graph.nodes if node.op == "call_function")
    return any(isinstance(target, torch._ops.OpOverload) for target in targets)


def _rows_of(module: nn.Module) -> int | None:
    """Return the fixed batch size of an exported program, or None."""
    graph = getattr(module, "graph", None)
    if not isinstance(graph, torch.fx.Graph):
        return None
    for node in graph.nodes:
        value = node.meta.get("val") if node.op == "placeholder" else None
        if isinstance(value, Tensor) and value.ndim == 4:
            return value.shape[0] if isinstance(value.shape[0], int) else None
    return None


def _digest(module: nn.Module) -> str:
    """Return the SHA-256 over weights, constants and code."""
    digest = hashlib.sha256(type(module).__name__.encode())
    if isinstance(module, torch.jit.ScriptModule):
        graph: Any = module.inlined_graph
        digest.update(_NAMED_BY_CHANCE.sub("", str(graph)).encode())
        # A frozen one keeps its weights in its graph.
        for node in graph.findAllNodes("prim::Constant"):
            if node.hasAttribute("value") and node.kindOf("value") == "t":
                _add(digest, node.t("value"))
    elif isinstance(getattr(module, "graph", None), torch.fx.Graph):
        digest.update(str(module.graph).encode())
    else:
        digest.update(repr(module).encode())
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        _add(digest, value)
    return digest.hexdigest()[:16]


def _add(digest: Any, value: Any) -> None:
    """Take in a value of a state dict; a quantised layer keeps its weights in tuples."""
    if isinstance(value, (tuple, list)):
        for part in value:
            _add(digest, part)
    elif isinstance(value, Tensor):
        plain = value.dequantize() if value.is_quantized else value
        digest.update(plain.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    else:
        digest.update(repr(value).encode())
