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
    calls: list[tuple[str, nn.Module, bool]] = []

    def note(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(layer: nn.Module, _inputs: object, output: object) -> None:
            is_map = isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1
            calls.append((name, layer, is_map))

        return hook

    handles = [m.register_forward_hook(note(n)) for n, m in module.named_modules() if n]
    try:
        with torch.no_grad():
            forward()
    finally:
        for handle in handles:
            handle.remove()
    # A map that only the first half of the network has (a ViT's patch embedding) explains nothing.
    times = Counter(name for name, _, _ in calls)
    late = [(name, layer) for name, layer, is_map in calls[len(calls) // 2 :] if is_map and times[name] == 1]
    if not late:
        raise ModelError(
            "Expected a layer with a feature map (N, C, H, W) in the network's second half, but found none. "
            "Pass `layer=`, or choose a method that needs no layer, such as integrated_gradients."
        )
    return late[-1]
