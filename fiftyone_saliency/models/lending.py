"""Lend a network for explaining: in evaluation mode, frozen, nothing in place; afterwards it is as it was."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn


@contextmanager
def lent(module: nn.Module) -> Iterator[None]:
    """Borrow a network for differentiation: evaluation mode, no in-place activations, frozen, not compiled.

    Loans nest, and threads may share one: the first one changes the network, the last one gives it back.
    """
    with _LOCK:
        loan = _LOANS.setdefault(module, _Loan())
        if not loan.borrowers:
            loan.terms.enter_context(_changed(module))
        loan.borrowers += 1
    try:
        # Hooks do not reach into compiled code; a layer is only seen where it runs as it was written.
        eager = torch.compiler.set_stance("force_eager")
        with eager, torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        with _LOCK:
            loan.borrowers -= 1
            if not loan.borrowers:
                loan.terms.close()


@dataclass(eq=False)
class _Loan:
    """How many have borrowed a network, and what gives it back."""

    borrowers: int = 0
    terms: ExitStack = field(default_factory=ExitStack)


_LOCK = threading.RLock()
_LOANS: WeakKeyDictionary[nn.Module, _Loan] = WeakKeyDictionary()


@contextmanager
def _changed(module: nn.Module) -> Iterator[None]:
    training = {m: m.training for m in module.modules()}
    inplace = [m for m in module.modules() if getattr(m, "inplace", False) is True]
    # A tensor made in inference mode cannot be frozen; a copy stands in for it.
    trained = [p for p in module.parameters() if p.requires_grad and not p.is_inference()]
    gradients = {p: p.grad for p in module.parameters()}
    try:
        module.eval()
        for m in inplace:
            m.inplace = False  # type: ignore[assignment]
        for p in trained:
            p.requires_grad_(False)
        with _plain_tensors(module):
            yield
    finally:
        for p in trained:
            p.requires_grad_(True)
        for m in inplace:
            m.inplace = True  # type: ignore[assignment]
        for m, mode in training.items():
            m.training = mode
        for p, gradient in gradients.items():
            p.grad = gradient


@contextmanager
def _plain_tensors(module: nn.Module) -> Iterator[None]:
    """Stand copies in for tensors that were made in inference mode: autograd cannot save those."""
    swapped: list[tuple[dict[str, Any], str, Any]] = []
    for m in module.modules():
        for tensors in (m._parameters, m._buffers):
            for name, tensor in tensors.items():
                if tensor is not None and tensor.is_inference():
                    swapped.append((tensors, name, tensor))
    try:
        with torch.inference_mode(False):
            for tensors, name, tensor in swapped:
                plain = tensor.clone()
                tensors[name] = nn.Parameter(plain, requires_grad=False) if isinstance(tensor, nn.Parameter) else plain
        yield
    finally:
        for tensors, name, tensor in swapped:
            tensors[name] = tensor
