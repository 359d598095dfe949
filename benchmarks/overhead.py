"""What a sample costs beside the model: decode 500 × 375, place, store; against FiftyOne's `apply_model`.

The model is tiny, so that what is measured is all that is not the model.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights

import fiftyone_saliency as fos
from benchmarks import _bench as bench

IMAGES, ROUNDS = 1000, 5
TRANSFORM = ResNet18_Weights.IMAGENET1K_V1.transforms()


class Tiny(nn.Module):
    """One convolution over patches of 32 × 32 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 32, stride=32)
        self.head = nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 10)."""
        return self.head(self.conv(images).relu().mean(dim=(2, 3)))


class HeatmapModel(fo.Model, fo.TorchModelMixin):
    """The same network as a FiftyOne model that returns Grad-CAMs as Heatmaps; FiftyOne reads ahead and in batches."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    media_type = "image"
    transforms = TRANSFORM
    preprocess = True
    ragged_batches = False
    has_collate_fn = False

    def predict(self, arg: Tensor) -> fo.Heatmap:
        """Explain one image."""
        return self.predict_all(arg[None])[0]

    def predict_all(self, args: Tensor) -> list[fo.Heatmap]:
        """Explain a batch."""
        with torch.enable_grad():
            features = self._network.conv(args)
            logits = self._network.head(features.relu().mean(dim=(2, 3)))
            (gradient,) = torch.autograd.grad(logits.amax(dim=1).sum(), features)
        values = (gradient.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1, keepdim=True).relu().detach()
        full = nn.functional.interpolate(values, (84, 112), mode="bilinear")[:, 0]
        levels = (255 * full / full.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)).to(torch.uint8).numpy()
        return [fo.Heatmap(map=one, range=[0, 255]) for one in levels]


class OneByOne(fo.Model):
    """The same as the plainest FiftyOne model: an image in, a Heatmap out."""

    def __init__(self, network: nn.Module) -> None:
        self._model = HeatmapModel(network)

    media_type = "image"

    def predict(self, arg: np.ndarray) -> fo.Heatmap:
        """Explain one image."""
        return self._model.predict(TRANSFORM(Image.fromarray(arg)))


def measure(folder: Path) -> dict[str, Any]:
    """Measure ours, the network alone, and apply_model."""
    dataset = bench.make_dataset(bench.jpegs(folder / "jpegs", IMAGES))
    network = Tiny().eval()
    model = fos.load_model(network, [str(i) for i in range(10)], TRANSFORM, "conv")
    turns = bench.take_turns(
        {
            "compute_saliency": partial(_ours, dataset, model),
            "apply_model": partial(_apply_model, dataset, OneByOne(network)),
            "apply_model, torch data loader": partial(
                _apply_model, dataset, HeatmapModel(network), batch_size=bench.BATCH, num_workers=bench.THREADS
            ),
            "the network alone": partial(_network, network),
        },
        ROUNDS,
        partial(bench.forget, dataset),
    )
    dataset.delete()
    each = {way: 1000 * turns.median(way) / IMAGES for way in turns.seconds}
    peers = ("apply_model", "apply_model, torch data loader")
    return {
        "images": IMAGES,
        "rounds": ROUNDS,
        "milliseconds per image": {way: round(value, 2) for way, value in each.items()},
        "milliseconds beside the model": round(each["compute_saliency"] - each["the network alone"], 2),
        **{f"times faster than {peer}": round(turns.ratio(peer, "compute_saliency"), 2) for peer in peers},
    }


def _ours(dataset: fo.Dataset, model: Any) -> None:
    fos.compute_saliency(dataset, model, pred_field=None, num_workers=bench.THREADS, progress=False)


def _apply_model(dataset: fo.Dataset, model: fo.Model, **options: Any) -> None:
    dataset.apply_model(model, "applied", progress=False, **options)


def _network(network: nn.Module) -> None:
    batch = torch.rand(bench.BATCH, 3, 224, 224).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        for _ in range(0, IMAGES, bench.BATCH):
            network(batch)
