"""The non-linear functions that a network may call, whether as a module, a function or a tensor's method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Function = Callable[..., Any]


def _named(*names: str) -> frozenset[Function]:
    """Return what PyTorch calls by these names, in place or not."""
    homes = (torch, F, Tensor)
    spelled = [name + ending for name in names for ending in ("", "_")]
    return frozenset(getattr(home, name) for home in homes for name in spelled if hasattr(home, name))


RELU = _named("relu", "relu6")
HARDTANH = _named("hardtanh")
CLAMP = _named("clamp", "clamp_min", "clamp_max", "clip", "threshold")
SMOOTH = _named(
    *("celu", "elu", "gelu", "hardsigmoid", "hardswish", "leaky_relu", "logsigmoid", "mish", "prelu", "selu"),
    *("sigmoid", "silu", "softplus", "softsign", "tanh"),
)
ACTIVATIONS = RELU | HARDTANH | SMOOTH
PRODUCT = frozenset({torch.mul, torch.multiply, Tensor.mul, Tensor.multiply, Tensor.__mul__, Tensor.__rmul__})
MAX_POOL: dict[Function, Function] = {
    F.max_pool2d: F.max_pool2d,
    torch.max_pool2d: F.max_pool2d,
    F.adaptive_max_pool2d: F.adaptive_max_pool2d,
}


def is_rectifier(function: Function, arguments: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Return whether a call cuts off what is negative: ReLU and ReLU6, which PyTorch calls hardtanh from 0 to 6."""
    if function in HARDTANH:
        low = arguments[1] if len(arguments) > 1 else named.get("min_val", -1.0)
        return low == 0
    return function in RELU
