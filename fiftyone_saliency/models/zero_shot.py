"""CLIP as a plain image classifier: the class prompts are embedded once, the images one batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fiftyone_saliency.core.errors import ArgumentError, ModelError

PROMPTS = ("a photo of a {}.",)
_TEXTS = 256


class ZeroShotClassifier(nn.Module):
    """Logits (N, K) of images: the scaled cosine between an image and the text of each class.

    Args:
        visual: image encoder; of a tuple that it returns, the first part counts.
        text: embeddings of the classes, unit length, (K, D).
        scale: what the cosine is multiplied by.
        bias: what is added, as in SigLIP.
    """

    text: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, visual: nn.Module, text: Tensor, scale: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.visual = visual
        # Part of the state dict, and so of the model's fingerprint.
        self.register_buffer("text", text.detach().float())
        self.register_buffer("scale", scale.detach().float().reshape(()))
        self.register_buffer("bias", torch.zeros(()) if bias is None else bias.detach().float().reshape(()))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, K) of images (N, C, H, W)."""
        features = self.visual(images)
        if isinstance(features, tuple):
            features = features[0]
        wide = torch.promote_types(features.dtype, torch.float32)
        return self.scale.to(wide) * F.normalize(features.to(wide), dim=-1) @ self.text.to(wide).T + self.bias.to(wide)


def check_prompts(prompts: Sequence[str] | None, default: Sequence[str] = PROMPTS) -> tuple[str, ...]:
    """Return the prompt templates.

    Raises:
        ArgumentError: if one is no text with a place for the class name.
    """
    chosen = default if prompts is None else prompts
    if isinstance(chosen, str) or not chosen or not all(isinstance(p, str) and "{}" in p for p in chosen):
        raise ArgumentError(
            "Expected `prompts` to be a list of templates with {} where the class name goes, such as "
            f"['a photo of a {{}}.'], but got {prompts!r}."
        )
    return tuple(chosen)


def check_zero_shot_classes(classes: Sequence[str] | None, name: str) -> tuple[str, ...]:
    """Return the class names that make the prompts.

    Raises:
        ModelError: if there are none: CLIP has no classes of its own.
    """
    if not classes or isinstance(classes, str):
        raise ModelError(
            f"Expected `classes`, the names that {name} is to choose from, but got {classes!r}. "
            "Pass `classes=[...]`, and `prompts=[...]` where they need more words."
        )
    return tuple(str(c) for c in classes)


def embed_classes(
    model: nn.Module, embed: Callable[[list[str]], Any], classes: Sequence[str], prompts: Sequence[str]
) -> Tensor:
    """Return one unit vector per class, (K, D): the mean over its prompts, each of unit length.

    Args:
        model: the network that embeds, put into evaluation mode meanwhile.
        embed: turns texts into embeddings (T, D).
        classes: K class names.
        prompts: templates.
    """
    texts = [prompt.replace("{}", name) for name in classes for prompt in prompts]
    modes = {m: m.training for m in model.modules()}
    try:
        model.eval()
        with torch.inference_mode(False), torch.no_grad():
            parts = [embed(texts[i : i + _TEXTS]) for i in range(0, len(texts), _TEXTS)]
    finally:
        for m, mode in modes.items():
            m.training = mode
    unit = F.normalize(torch.cat(parts).float(), dim=-1).reshape(len(classes), len(prompts), -1)
    return F.normalize(unit.mean(dim=1), dim=-1)
