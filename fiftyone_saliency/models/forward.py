"""One forward pass that keeps what a method asked for: the graph begins at the recorded layers, not at the image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.models.layers import find_layer, tensor_of

if TYPE_CHECKING:
    from fiftyone_saliency.models.adapter import ModelAdapter


@dataclass(frozen=True, eq=False)
class Forward:
    """What one forward pass left behind.

    Differentiating costs only the head, the part of the network above the first recorded layer, so that ten
    scores of one image cost hardly more than one.

    Args:
        logits: (N, K), float32 or finer; with a graph down to the recorded layers.
        activations: raw outputs of the recorded layers, in the order they were asked for.
        layers: their names, where they have some.
    """

    logits: Tensor
    activations: tuple[Tensor, ...] = ()
    layers: tuple[str, ...] = ()

    def gradients(self, score: Tensor) -> tuple[Tensor, ...]:
        """Differentiate a score per image by each recorded layer's output.

        Args:
            score: (N,), computed from `logits`.

        Returns:
            One gradient per layer, of the shape of its activation; 0 where the score does not change with it.

        Raises:
            ModelError: if the network hides its gradient, or cuts it between a layer and the logits.
        """
        if not score.requires_grad:
            raise ModelError(_HIDDEN)
        # Under the caller's autocast the backward pass of a float32 head would be narrow.
        with torch.autocast(score.device.type, enabled=False):
            found = torch.autograd.grad(score.sum(), self.activations, retain_graph=True, allow_unused=True)
        names = self.layers or ("",) * len(found)
        for name, gradient, activation in zip(names, found, self.activations, strict=True):
            # No gradient is no zero: nothing is known of the layer then.
            if gradient is None or not (gradient.any() or gradient_reaches(score, activation)):
                raise cut(f"the layer {name!r}" if name else "all layers")
        return tuple(gradient.detach() for gradient in found)


def record(model: ModelAdapter, images: Tensor, layers: Sequence[str]) -> Forward:
    """Run the network once; below the first of the layers without a graph, above it with one.

    Under autocast the part below runs in the reduced precision and the part above in float32.

    Args:
        model: the model, inside its `explaining`.
        images: (N, C, H, W).
        layers: dotted names of the layers to record; none for the logits alone.

    Raises:
        ModelError: if the network calls a layer not exactly once, or a layer's output is no tensor.
    """
    if not layers:
        with torch.no_grad():
            return Forward(model.logits(images))
    kept: dict[str, Tensor] = {}
    calls: Counter[str] = Counter()
    handles = [
        find_layer(model.module, name).register_forward_hook(_keep(name, kept, calls, model.dtype))
        for name in dict.fromkeys(layers)
    ]
    kind = model.device.type
    autocast = torch.is_autocast_enabled(kind)
    try:
        # Without a parameter that asks for a gradient there is no graph before the first leaf.
        with torch.enable_grad():
            logits = model.logits(images.detach())
    finally:
        torch.set_autocast_enabled(kind, autocast)
        for handle in handles:
            handle.remove()
    for name in layers:
        _check(name, calls[name], kept)
    return Forward(logits, tuple(kept[name] for name in layers), tuple(layers))


def gradient_reaches(score: Tensor, start: Tensor) -> bool:
    """Return whether some gradient of a score could reach a tensor, whatever the values.

    It could not where the graph does not lead there, or only through functions of steps, such as rounding, whose
    derivative is 0 wherever it exists.

    Args:
        score: computed from the tensor.
        start: the tensor; it requires a gradient.
    """
    waiting, seen = [score.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node is start.grad_fn or getattr(node, "variable", None) is start:
            return True
        if node.name().rstrip("0123456789") not in _STEPS:
            waiting.extend(following for following, _ in node.next_functions)
    return False


def cut(where: str) -> ModelError:
    """Return the error for a network that lets no gradient pass.

    Args:
        where: what the gradient should have reached.
    """
    return ModelError(
        f"Expected the gradient of the logits to reach {where}, but the network cuts it on the way. Run the network "
        "without no_grad, detach, rounding or integers there, pass another `layer=` for a CAM, or choose a "
        "perturbation method, such as occlusion, which needs none."
    )


_STEPS = {f"{name}Backward" for name in ("Round", "Sign", "Sgn", "Floor", "Ceil", "Trunc")}


_HIDDEN = (
    "Expected the logits to have a gradient, but they have none. Run the network without no_grad or detach inside "
    "it, or choose a perturbation method, such as occlusion, which needs none."
)


def _keep(name: str, kept: dict[str, Tensor], calls: Counter[str], dtype: torch.dtype) -> Callable[..., Any]:
    def hook(_module: nn.Module, _inputs: object, output: Any) -> Any:
        calls[name] += 1
        tensor, put_back = tensor_of(output)
        if tensor is None:
            return output
        torch.set_autocast_enabled(tensor.device.type, False)
        if not tensor.requires_grad:
            # Where only autocast made the output narrow, the head goes on in the network's own format.
            tensor = tensor.detach().to(dtype).requires_grad_(True)
        kept[name] = tensor
        # A copy goes on: what follows may write in place.
        return put_back(tensor.clone())

    return hook


def _check(name: str, calls: int, kept: dict[str, Tensor]) -> None:
    if calls == 0:
        raise ModelError(f"Expected the network to call the layer {name!r}, but it did not. Pass another `layer=`.")
    if calls > 1:
        raise ModelError(
            f"Expected the network to call the layer {name!r} once, but it called it {calls} times, as a shared "
            "activation. Pass the block that contains it."
        )
    if name not in kept:
        raise ModelError(
            f"Expected the layer {name!r} to return a tensor, but it does not. Pass `layer=` with the name of a "
            "convolutional layer or a transformer block."
        )
