"""A small network whose answers are known by hand, and what the dataset tests share.

The pictures of `conftest.pictures` show a bright square in red, green or blue; `ColourNet` names that colour.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

CLASSES = ("red", "green", "blue")

# Networks as small as these spend their time waiting for a second thread, most of all on a busy machine.
torch.set_num_threads(1)


class ColourNet(nn.Module):
    """The mean brightness above 0.3 in each colour channel, on a grid of 4 × 4 pixels; the brightest wins.

    It never sees where a square is, only that it is there: its Grad-CAM is the square.
    """

    def __init__(self, pause: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 4, stride=4)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(3, 3)
        self._pause = pause
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[:, :, None, None].expand(3, 3, 4, 4) / 16)
            self.conv.bias.fill_(-0.3)
            self.head.weight.copy_(4 * torch.eye(3) - 1)
            self.head.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(self._pause)
        return self.head(self.relu(self.conv(images)).mean(dim=(2, 3)))


class BlindNet(nn.Module):
    """Sees nothing: its logits do not depend on the image, so there is no evidence for anything."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 4, stride=4)
        self.relu = nn.ReLU()
        self.head = nn.Linear(3, 3)
        with torch.no_grad():
            self.head.weight.zero_()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.relu(self.conv(images)).mean(dim=(2, 3)))


# A centre crop, so that the network does not see the left and right border of a 64 × 48 picture.
CROP = transforms.Compose([transforms.CenterCrop(48), transforms.ToTensor()])


def logits_of(net: nn.Module, filepath: str, transform: Any = CROP) -> Tensor:
    """Return the logits (K,) that a network gives by itself, without anything of this package."""
    with torch.no_grad():
        return net(transform(Image.open(filepath).convert("RGB"))[None])[0]


def add_pictures(
    dataset: Any,
    paths: Sequence[str],
    truths: Sequence[str | None],
    predictions: Sequence[str | None] | None = None,
) -> Any:
    """Add one sample per path, with labels where there are any, and return the dataset."""
    import fiftyone as fo

    def label(name: str | None) -> fo.Classification | None:
        return None if name is None else fo.Classification(label=name)

    samples = []
    for i, path in enumerate(paths):
        sample = fo.Sample(filepath=path, ground_truth=label(truths[i]))
        if predictions is not None:
            sample["predictions"] = label(predictions[i])
        samples.append(sample)
    dataset.add_samples(samples, progress=False)
    return dataset


def files_of(dataset: Any) -> dict[str, bytes]:
    """Return name and content of all saliency files of a dataset."""
    import fiftyone as fo

    folder = Path(fo.config.default_dataset_dir) / "saliency" / str(dataset._doc.id)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def state_of(dataset: Any) -> dict[str, Any]:
    """Return all that a refused call must leave as it was: schema, samples, runs, views, evaluations, files."""
    samples = [sample.to_dict() for sample in dataset]
    for sample in samples:
        sample.pop("_last_modified_at", None)
        sample.pop("last_modified_at", None)
    return {
        "schema": {name: str(field) for name, field in dataset.get_field_schema(flat=True).items()},
        "samples": samples,
        "runs": {key: dataset.get_run_info(key).config.serialize() for key in dataset.list_runs()},
        "evaluations": dataset.list_evaluations(),
        "views": {name: dataset.get_saved_view_info(name) for name in dataset.list_saved_views()},
        "files": files_of(dataset),
    }


def png_bytes(samples: Any, field: str = "saliency") -> dict[str, bytes]:
    """Return the stored PNG of each sample that has one, by sample id."""
    ids, paths = samples.values(["id", f"{field}.map_path"])
    return {i: Path(p).read_bytes() for i, p in zip(ids, paths, strict=True) if p is not None}
