"""The attention probabilities of a running transformer, however its attention is written."""

from __future__ import annotations

from collections.abc import Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.models.forward import Forward

if TYPE_CHECKING:
    from fiftyone_saliency.models.adapter import ModelAdapter


def record_attention(model: ModelAdapter, images: Tensor, graph: bool = True) -> Forward:
    """Run the network once and keep the attention of every layer; the graph begins at the first of them.

    Runs in the precision of the network's weights, without autocast. Attention of other tokens, as in attention
    pooling, is not kept.

    Args:
        model: the model, inside its `explaining`.
        images: (N, C, H, W).
        graph: whether scores of the logits can be differentiated by the attentions.

    Returns:
        The logits, and as activations the probabilities (N, heads, T, T) in the order of the layers; row q holds what
        token q takes from each token.

    Raises:
        ModelError: if the network has no self-attention, or one that does not cover all tokens of an image.
    """
    plain = torch.autocast(model.device.type, enabled=False)
    with plain, torch.set_grad_enabled(graph), AttentionWatch(graph) as watch:
        logits = model.logits(images.detach())
    _check(model, watch.attentions, len(images), watch.vectors)
    return Forward(logits, tuple(watch.attentions))


class AttentionWatch(TorchFunctionMode):
    """Inside ``with AttentionWatch() as watch``, keeps all self-attention in ``watch.attentions``.

    Sees each call of PyTorch's functions; what the network computes stays the same, fused attention step by step.

    Covers ``nn.MultiheadAttention``, ``scaled_dot_product_attention`` and a softmax over the last axis of square
    matrices (…, T, T). Not seen: compiled or scripted code, and kernels of other packages.

    Args:
        graph: whether the first attention becomes a leaf that asks for a gradient.
    """

    def __init__(self, graph: bool = True) -> None:
        super().__init__()
        self.attentions: list[Tensor] = []
        self.vectors: set[int] = set()
        self._graph = graph
        self._heads = 1

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:
            return self._enter(*args, **kwargs)
        if func is F.scaled_dot_product_attention and _is_square(args, kwargs):
            return self._attend(*args, **kwargs)
        output = func(*args, **kwargs)
        if func in _SOFTMAX and _is_last(output, args, kwargs):
            return self._keep(output)
        if func in {F.linear, F.layer_norm}:
            self.vectors.add(output.shape[:-1].numel())
        return output

    def _enter(
        self, query: Tensor, key: Tensor, value: Tensor, size: int, heads: int, *args: Any, **kwargs: Any
    ) -> Any:
        # A mode is off while it handles a call, and the calls inside this one are what it is after.
        self._heads = heads
        try:
            with self:
                return _MULTI_HEAD(query, key, value, size, heads, *args, **kwargs)
        finally:
            self._heads = 1

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """Return scaled_dot_product_attention by its definition."""
        if enable_gqa:
            key, value = (t.repeat_interleave(query.shape[-3] // t.shape[-3], dim=-3) for t in (key, value))
        weights = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
        if is_causal:
            attn_mask = torch.ones(weights.shape[-2:], dtype=torch.bool, device=weights.device).tril()
        if attn_mask is not None:
            hidden = attn_mask.dtype == torch.bool
            weights = weights.masked_fill(~attn_mask, -torch.inf) if hidden else weights + attn_mask
        return torch.dropout(self._keep(weights.softmax(dim=-1)), dropout_p, train=True) @ value

    def _keep(self, attention: Tensor) -> Tensor:
        if self._graph and not attention.requires_grad:
            attention = attention.detach().requires_grad_(True)
        shape = attention.shape
        if attention.ndim == 4:
            self.attentions.append(attention)
            # A copy goes on: what follows may write in place.
            return attention.clone()
        # One head, or heads that share the axis of the images, as inside nn.MultiheadAttention.
        apart = attention.reshape(-1, self._heads, *shape[-2:]) if attention.ndim == 3 else attention.flatten(0, -4)
        self.attentions.append(apart)
        return apart.reshape(shape).clone()


_SOFTMAX = {F.softmax, torch.softmax, torch.special.softmax, torch.Tensor.softmax}


def _multi_head() -> Any:
    """Return PyTorch's multi-head attention without its question whether a mode wants to handle it: it would again."""
    original = F.multi_head_attention_forward
    unasked = {**vars(F), "has_torch_function": lambda _: False}
    copy = FunctionType(original.__code__, unasked, original.__name__, original.__defaults__)
    copy.__kwdefaults__ = original.__kwdefaults__
    return copy


_MULTI_HEAD = _multi_head()


def _is_square(args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    query, key = (args[i] if len(args) > i else kwargs[name] for i, name in enumerate(("query", "key")))
    return query.ndim >= 3 and query.shape[-2] == key.shape[-2]


def _is_last(output: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    axis = args[1] if len(args) > 1 else kwargs.get("dim")
    return output.ndim >= 3 and output.shape[-1] == output.shape[-2] > 1 and axis in {-1, output.ndim - 1}


def _check(model: ModelAdapter, attentions: Sequence[Tensor], images: int, vectors: set[int]) -> None:
    name = model.name or type(model.module).__name__
    if not attentions:
        raise ModelError(f"Expected a transformer with self-attention, but {name} has none. Choose grad_cam.")
    shapes = sorted({(len(a), a.shape[-1]) for a in attentions})
    # Attention among channels, as in XCiT, is square too, but no layer has one vector per row of it.
    if len(shapes) == 1 and shapes[0][0] == images and shapes[0][0] * shapes[0][1] in vectors:
        return
    found = " and ".join(f"{count} times among {size}" for count, size in shapes)
    raise ModelError(
        f"Expected every self-attention to be among all tokens of an image, but {name} attends {found} for {images} "
        "images, as in windows, among channels or on a grid that shrinks. Choose grad_cam."
    )
