"""What both kinds of layer-wise relevance propagation share: a copy to change, and what may stand between layers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fiftyone_saliency.core.errors import ArgumentError, ModelError
from fiftyone_saliency.methods._attribute import Attribution
from fiftyone_saliency.methods._completeness import completeness_error
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


@contextmanager
def borrow(model: ModelAdapter) -> Iterator[ModelAdapter]:
    """Give the model with a copy of its network that may be changed, without autocast: both packages write on layers.

    The copy's parameters and buffers are tensors of their own on the same memory, unless they are in half precision:
    those become float32.

    Raises:
        ModelError: if the network cannot be copied.
    """
    module = getattr(model.module, "_orig_mod", model.module)
    tensors = [*module.parameters(), *module.buffers()]
    shared = {id(t): nn.Parameter(t.data, False) if isinstance(t, nn.Parameter) else t.detach() for t in tensors}
    try:
        twin = copy.deepcopy(module, shared)
    except (TypeError, RuntimeError) as error:
        raise ModelError(
            f"Expected a network that can be copied, but {type(module).__name__} cannot: {error}. Choose "
            "integrated_gradients."
        ) from error
    narrow = model.dtype in {torch.bfloat16, torch.float16}
    with torch.autocast(model.device.type, enabled=False):
        yield model.twin(twin.float() if narrow else twin)


def leaves(module: nn.Module) -> dict[str, nn.Module]:
    """Return the modules without children by name; a network that is only one layer counts as none."""
    return {name: m for name, m in module.named_modules() if name and next(m.children(), None) is None}


def probe(images: Tensor) -> Tensor:
    """Return a drawn image (1, C, H, W) like these, so that what is found of the network does not depend on them."""
    return torch.rand(1, *images.shape[1:], generator=torch.Generator().manual_seed(51)).to(images)


def check_output(batches: Sequence[Batch], method: str) -> None:
    """Raise unless the logits are explained.

    Raises:
        ArgumentError: if the batches ask for probabilities.
    """
    if any(batch.output != "logits" for batch in batches):
        raise ArgumentError(
            f"Expected `output` to be 'logits' for {method}, which has no rule for probabilities, but got "
            f"{batches[0].output!r}. Pass output='logits', or choose integrated_gradients."
        )


def check_layers(model: ModelAdapter, known: Callable[[nn.Module], bool], image: Tensor, way_out: str) -> Tensor:
    """Run the network on one image and return its logits, if relevance can be handed through all of it.

    Args:
        model: the model, with a copy of its network.
        known: whether a layer has a rule.
        image: (1, C, H, W).
        way_out: what to do instead, a sentence.

    Raises:
        ModelError: if a layer has no rule, or if the network computes something between its layers or hides its
            gradient.
    """
    handles = []
    between = _Between()
    for name, leaf in leaves(model.module).items():
        if not known(leaf):
            raise ModelError(
                f"Expected only layers that LRP has a rule for, but {name!r} is a {type(leaf).__name__}. {way_out}"
            )
    with torch.no_grad():
        # What its numbers are is found out first, so that no question of that stands between the layers.
        model.logits(image)
    for leaf in leaves(model.module).values():
        handles += [leaf.register_forward_pre_hook(between.enter), leaf.register_forward_hook(between.leave)]
    image = image.clone().requires_grad_(True)
    with between:
        logits = model.logits(image)
    for handle in handles:
        handle.remove()
    if between.functions:
        raise ModelError(
            "Expected all computation to be inside layers that LRP has a rule for, but between them the network calls "
            f"{', '.join(sorted(between.functions))}, as in a skip connection or a pooling without a layer. {way_out}"
        )
    if not logits.requires_grad:
        raise ModelError(
            "Expected the logits to have a gradient, but they have none. Run the network without no_grad or detach "
            "inside it, or choose a perturbation method, such as occlusion, which needs none."
        )
    return logits.detach()


def attribution(relevance: Tensor, scores: Tensor) -> Attribution:
    """Return the relevance (N, C, H, W), with the share of the score (N,) that is not conserved."""
    return Attribution(relevance, completeness_error(relevance, scores, torch.zeros_like(scores)))


# What changes nothing but the shape, or, like ReLU, hands on whole what reaches it.
_HARMLESS = {
    *("__get__", "__getitem__", "cat", "clone", "concat", "contiguous", "dropout", "feature_dropout"),
    *("flatten", "float", "pad", "permute", "relu", "relu_", "reshape", "squeeze", "stack", "to", "transpose"),
    *("unflatten", "unsqueeze", "view"),
}


class _Between(TorchFunctionMode):
    """Collects the functions that are called outside of the layers."""

    def __init__(self) -> None:
        super().__init__()
        self.functions: set[str] = set()
        self._depth = 0

    def enter(self, *_: object) -> None:
        self._depth += 1

    def leave(self, *_: object) -> None:
        self._depth -= 1

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if self._depth == 0 and isinstance(output, Tensor) and func.__name__ not in _HARMLESS:
            self.functions.add(func.__name__)
        return output
