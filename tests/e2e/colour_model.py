"""A classifier of bright colours that the App's server can load: a convolution that sums each channel's excess."""

import time

import torch
import torchvision.transforms as T
from torch import nn

import fiftyone_saliency as fos

CLASSES = ("red", "green", "blue")


class ColourModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 3, 4, stride=4, bias=False)
        with torch.no_grad():
            weight = -0.5 * torch.ones(3, 3, 4, 4) + 1.5 * torch.eye(3)[:, :, None, None]
            self.features.weight.copy_(weight / 16)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.features(images)).mean(dim=(2, 3))


class SlowModel(ColourModel):
    """As slow as a large network, so that there is time to stop it."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        time.sleep(0.4)
        return super().forward(images)


def load(network: nn.Module | None = None):
    transform = T.Compose([T.Resize((48, 64)), T.ToTensor()])
    return fos.load_model(network or ColourModel(), classes=CLASSES, transform=transform, layer="features")


def load_slow():
    return load(SlowModel())
