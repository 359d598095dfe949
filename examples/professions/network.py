"""The small convolutional network of the Professions story: build, train, save, load, measure."""

from __future__ import annotations

import os
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image
from torch import nn
from torchvision import transforms

from examples.professions.pictures import PROFESSIONS

INPUT_SIZE = 64
CAM_LAYER = "features.block4"


class Labelled(Protocol):
    """What training and measuring read of a row: a `pictures.Row`, or anything else with these two."""

    @property
    def image(self) -> str | os.PathLike[str]:
        """Path of the picture."""
        ...

    @property
    def profession(self) -> str:
        """One of `pictures.PROFESSIONS`."""
        ...


def build_network(num_classes: int = 8) -> nn.Module:
    """Build a network with random weights: (N, 3, 64, 64) to logits (N, num_classes).

    The layer `CAM_LAYER` gives (N, 96, 16, 16), non-negative, averaged over the picture and weighed by one linear
    layer: the classical setting of class activation maps. One of its cells sees 23 x 23 pixels of the input.
    """
    features: OrderedDict[str, nn.Module] = OrderedDict(
        block1=_block(3, 24, stride=2),
        block2=_block(24, 48, stride=2),
        block3=_block(48, 64),
        block4=_block(64, 96),
    )
    head: OrderedDict[str, nn.Module] = OrderedDict(
        pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), dropout=nn.Dropout(0.2), linear=nn.Linear(96, num_classes)
    )
    return nn.Sequential(OrderedDict(features=nn.Sequential(features), head=nn.Sequential(head)))


def build_transform() -> transforms.Compose:
    """Build what a picture goes through, in training as in use: PIL RGB to float32 (3, 64, 64) in [-1, 1]."""
    return transforms.Compose(
        [
            transforms.Resize((INPUT_SIZE, INPUT_SIZE)),
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ]
    )


def train(
    rows: Sequence[Labelled],
    epochs: int = 3,
    seed: int = 0,
    batch_size: int = 32,
    report: Callable[[str], None] | None = print,
) -> nn.Module:
    """Train a new network on the CPU.

    Args:
        rows: The training set.
        epochs: Passes over it.
        seed: Of the weights, the order and the dropout. PyTorch's global random state is left as it was.
        batch_size: Pictures per step.
        report: Gets one line per epoch; None for silence.

    Returns:
        The network in evaluation mode.

    Raises:
        ValueError: If `rows` is empty or names an unknown profession.
    """
    images, labels = _images(rows), _labels(rows)
    with torch.random.fork_rng(devices=[]), _without_denormals():
        torch.manual_seed(seed)
        model = build_network(len(PROFESSIONS))
        steps = -(-len(labels) // batch_size)
        optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=epochs * steps)
        for epoch in range(epochs):
            loss = _epoch(model.train(), images, labels, batch_size, optimizer, schedule)
            if report is not None:
                report(f"epoch {epoch + 1}/{epochs}: loss {loss:.3f}")
    return model.eval()


def predict(model: nn.Module, rows: Sequence[Labelled], batch_size: int = 128) -> list[str]:
    """Return the profession that the network sees in each picture."""
    with torch.inference_mode():
        logits = torch.cat([model.eval()(batch) for batch in _images(rows).split(batch_size)])
    return [PROFESSIONS[index] for index in logits.argmax(dim=1).tolist()]


def accuracy(model: nn.Module, rows: Sequence[Labelled]) -> float:
    """Return the part of `rows`, in [0, 1], whose profession the network predicts."""
    return sum(seen == row.profession for seen, row in zip(predict(model, rows), rows, strict=True)) / len(rows)


def save(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write the weights, under a temporary name first: `path` never holds half a file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    os.close(handle)
    try:
        torch.save(model.state_dict(), temporary)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def load(path: str | os.PathLike[str]) -> nn.Module:
    """Read a network that `save` wrote; it comes back in evaluation mode.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"Expected `path` to be a file of weights, but got {path}. Train and save first.")
    model = build_network(len(PROFESSIONS))
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval()


@contextmanager
def _without_denormals() -> Iterator[None]:
    """Denormal weights made a run five times slower; the setting is the process's, so it is put back."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _block(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, kernel_size=3, stride=stride, padding=1, bias=False)
    return nn.Sequential(OrderedDict(convolution=convolution, norm=nn.BatchNorm2d(channels_out), activation=nn.ReLU()))


def _epoch(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    batch_size: int,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> float:
    """Make one pass in random order and return the mean loss."""
    total = 0.0
    for batch in torch.randperm(len(labels)).split(batch_size):
        loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item() * len(batch)
    return total / len(labels)


def _images(rows: Sequence[Labelled]) -> torch.Tensor:
    """Read all pictures as the network takes them, (N, 3, 64, 64); decoding frees the interpreter, so threads help."""
    if not rows:
        raise ValueError("Expected `rows` to hold pictures, but got none. Draw some first.")
    transform = build_transform()

    def read(row: Labelled) -> torch.Tensor:
        with Image.open(row.image) as image:
            return transform(image.convert("RGB"))

    with ThreadPoolExecutor(max_workers=2) as pool:
        return torch.stack(list(pool.map(read, rows)))


def _labels(rows: Sequence[Labelled]) -> torch.Tensor:
    known = {name: index for index, name in enumerate(PROFESSIONS)}
    if unknown := sorted({row.profession for row in rows} - known.keys()):
        raise ValueError(f"Expected professions to be in {', '.join(PROFESSIONS)}, but got {unknown}. Correct them.")
    return torch.tensor([known[row.profession] for row in rows])
