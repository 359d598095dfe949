"""Find layers of a network by name, or the one that a CAM should look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fiftyone_saliency.core.errors import ModelError, UnknownNameError
from fiftyone_saliency.models.grids import Grid, grid_or_none


@dataclass(frozen=True)
class MapLayer:
    """A layer that a CAM can look at.

    Args:
        name: its dotted name.
        shape: shape of its output for one image, without the axis of the batch.
        grid: how to read the output.
    """

    name: str
    shape: tuple[int, ...]
    grid: Grid


def find_layer(module: nn.Module, name: str, forward: Callable[[], Tensor] | None = None) -> nn.Module:
    """Return the sub-module with a dotted name.

    Args:
        module: the network.
        name: the dotted name.
        forward: runs the network once, so that the error can say what the nearest layers return; or None.

    Raises:
        UnknownNameError: if there is none; the nearest names are offered.
    """
    layers = dict(module.named_modules())
    if name in layers and name:
        return layers[name]
    unknown = UnknownNameError("layer", name, [n for n in layers if n])
    if forward is None or not unknown.near:
        raise unknown
    try:
        shapes = layer_shapes(module, forward)
    except Exception as error:
        # What is wrong with the forward pass is told when the run begins; the name is wrong already.
        raise unknown from error
    told = [f"`{near}` returns {shapes[near]}" for near in unknown.near if near in shapes]
    hint = f"For one image {', '.join(told)}." if told else ""
    raise UnknownNameError("layer", name, [n for n in layers if n], hint)


def default_layer(module: nn.Module, forward: Callable[[], Tensor]) -> tuple[str, nn.Module]:
    """Return name and module of the last layer that a CAM can look at; see `map_layers`.

    Args:
        module: the network.
        forward: runs the network once.

    Raises:
        ModelError: if there is no such layer.
    """
    found = map_layers(module, forward)
    if found:
        return found[-1].name, find_layer(module, found[-1].name)
    raise ModelError(
        "Expected a layer with a feature map (N, C, H, W) or tokens of a grid (N, T, C) near the network's end, but "
        "found none. Pass `layer=`, or choose a method that needs no layer, such as integrated_gradients."
    )


def map_layers(module: nn.Module, forward: Callable[[], Tensor]) -> list[MapLayer]:
    """Return the layers whose output is a feature map that the logits depend on, in the order of the network.

    One forward and one backward pass of one image. The map is larger than one cell, and the gradient on it is not
    zero: behind the attention of a transformer's last block the patches feel nothing, because only the class token
    is read. Blocks count as layers, so that the sum after a skip connection is found. These do not count: a module
    that the network uses several times, such as one shared activation, because it is no place in the network;
    one that hands on what it gets, such as dropout; and `nn.Linear`, which inside a block turns tokens into queries
    or values.

    Args:
        module: the network.
        forward: runs the network once and returns its logits (N, K).
    """
    with torch.enable_grad():
        images, calls, logits = _watch(module, forward)
        if images is None:
            return []
        candidates = [(c, g) for c in calls if (g := _grid_of(c, images)) is not None]
        alive = _alive(candidates, logits)
    # A network that hides its gradient, or is saturated by the drawn image, is judged by shapes alone.
    kept = [pair for pair, feels in zip(candidates, alive, strict=True) if feels] or candidates
    return [MapLayer(call.name, tuple(call.output.shape[1:]), grid) for call, grid in kept]


def layer_shapes(module: nn.Module, forward: Callable[[], Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the output's shape of every layer that returns a tensor, without the axis of the batch.

    Args:
        module: the network.
        forward: runs the network once.
    """
    with torch.no_grad():
        _, calls, _ = _watch(module, forward)
    return {call.name: tuple(call.output.shape[1:]) for call in calls}


def tensor_of(output: Any) -> tuple[Tensor | None, Callable[[Tensor], Any]]:
    """Return the tensor of a layer's output, and how to put another one in its place; blocks may return tuples."""
    if isinstance(output, Tensor):
        return output, lambda tensor: tensor
    if type(output) is tuple and output and isinstance(output[0], Tensor):
        return output[0], lambda tensor: (tensor, *output[1:])
    return None, lambda _: output


_NO_PLACE = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Softmax, nn.Linear)


@dataclass(frozen=True, eq=False)
class _Call:
    name: str
    layer: nn.Module
    output: Tensor


def _watch(module: nn.Module, forward: Callable[[], Tensor]) -> tuple[Tensor | None, list[_Call], Tensor]:
    """Run the network and return its images, one call per layer that is called once, and the logits."""
    images: list[Tensor] = []
    calls: list[_Call] = []
    times: Counter[str] = Counter()

    def begin(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not inputs or not isinstance(inputs[0], Tensor) or inputs[0].ndim != 4 or images:
            return None
        images.append(inputs[0].detach().requires_grad_(True))
        return (images[0], *inputs[1:])

    def note(name: str) -> Callable[[nn.Module, object, object], Any]:
        def hook(layer: nn.Module, _inputs: object, output: object) -> Any:
            times[name] += 1
            tensor, put_back = tensor_of(output)
            if tensor is None:
                return output
            calls.append(_Call(name, layer, tensor))
            # A copy goes on: what follows may write in place.
            return put_back(tensor.clone())

        return hook

    handles = [module.register_forward_pre_hook(begin)]
    handles += [m.register_forward_hook(note(n)) for n, m in module.named_modules() if n]
    try:
        logits = forward()
    finally:
        for handle in handles:
            handle.remove()
    return (images[0] if images else None), [c for c in calls if times[c.name] == 1], logits


def _grid_of(call: _Call, images: Tensor) -> Grid | None:
    """Return the grid of a layer that may count, by its kind and its output's shape."""
    shape = tuple(call.output.shape)
    if isinstance(call.layer, _NO_PLACE) or len(shape) not in {3, 4} or shape[0] != len(images):
        return None
    rows, columns = images.shape[2:]
    grid = grid_or_none(shape, rows / columns)
    if grid is None or grid.height * grid.width == 1:
        return None
    # Tokens of one number each are channels that were pooled over the grid.
    if grid.order == "NTC" and shape[2] == 1:
        return None
    # Attention weights and heads of tokens have four axes too.
    off = abs(grid.height - grid.width * rows / columns)
    return grid if off <= max(1, 0.5 * grid.height) else None


def _alive(candidates: list[tuple[_Call, Grid]], logits: Tensor) -> list[bool]:
    """Return for each layer whether a mixture of the logits has a gradient on its map."""
    asked = [call.output for call, _ in candidates if call.output.requires_grad]
    if not asked or not logits.requires_grad:
        return [False] * len(candidates)
    mixture = torch.arange(logits.shape[1], device=logits.device, dtype=logits.dtype).cos()
    found = iter(torch.autograd.grad((logits * mixture).sum(), asked, allow_unused=True))
    alive = []
    for call, grid in candidates:
        gradient = next(found) if call.output.requires_grad else None
        alive.append(gradient is not None and bool((grid(gradient) != 0).any()))
    return alive
