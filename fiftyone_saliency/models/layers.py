"""Find layers of a network by name, or the one that a CAM should look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor, nn

from fiftyone_saliency.core.errors import ModelError, UnknownNameError


def find_layer(module: nn.Module, name: str) -> nn.Module:
    """Return the sub-module with a dotted name.

    Raises:
        UnknownNameError: if there is none; the nearest names are offered.
    """
    layers = dict(module.named_modules())
    if name not in layers or not name:
        raise UnknownNameError("layer", name, [n for n in layers if n])
    return layers[name]


def default_layer(module: nn.Module, forward: Callable[[], Tensor]) -> tuple[str, nn.Module]:
    """Return name and module of the last layer whose output is a feature map larger than one pixel.

    Blocks count as layers, so that the sum after a skip connection is found; a module that the network uses
    several times, such as one shared activation, does not, because it is no place in the network.

    Args:
        module: the network.
        forward: runs the network once.

    Raises:
        ModelError: if no layer has such an output.
    """
    calls: list[tuple[str, nn.Module, torch.Size]] = []

    def note(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(layer: nn.Module, _inputs: object, output: object) -> None:
            calls.append((name, layer, output.shape if isinstance(output, Tensor) else torch.Size()))

        return hook

    handles = [m.register_forward_hook(note(n)) for n, m in module.named_modules() if n]
    try:
        with torch.no_grad():
            forward()
    finally:
        for handle in handles:
            handle.remove()
    times = Counter(name for name, _, _ in calls)
    for name, layer, shape in reversed(calls):
        # A map before layers of tokens (N, T, C), such as a ViT's patch embedding, explains nothing.
        if len(shape) == 3:
            break
        if len(shape) == 4 and shape[2] * shape[3] > 1 and times[name] == 1:
            return name, layer
    raise ModelError(
        "Expected a layer with a feature map (N, C, H, W) near the network's end, but found none. "
        "Pass `layer=`, or choose a method that needs no layer, such as integrated_gradients."
    )
