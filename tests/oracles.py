"""Models whose map is known by hand, and what the tests need to put one to work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision import transforms

from fiftyone_saliency.core.types import SampleItem, Target
from fiftyone_saliency.methods._registry import Method, get_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch
from fiftyone_saliency.runtime.loading import LoadedImage, load_ahead

# The networks are tiny: threads that wait for each other cost more than they bring.
torch.set_num_threads(1)

SIDE = 40
PATCH = (slice(16, 24), slice(8, 16))
CLASSES = ("red", "green", "blue")


class LinearModel(nn.Module):
    """Logit k = wₖ · x + bₖ, with drawn weights.

    Integrated Gradients, Input × Gradient and the occlusion of single pixels are all w · x, by any baseline of zero.
    """

    def __init__(self, classes: int = 3, channels: int = 3, side: int = 8) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(51)
        self.weight = nn.Parameter(torch.randn(classes, channels, side, side, generator=generator))
        self.bias = nn.Parameter(torch.randn(classes, generator=generator))

    def forward(self, images: Tensor) -> Tensor:
        return torch.einsum("nchw,kchw->nk", images, self.weight) + self.bias


class Window(nn.Module):
    """Multiply by a fixed mask: a layer of its own, so that a CAM finds it."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, features: Tensor) -> Tensor:
        return features * self.mask


class PatchModel(nn.Module):
    """Logit k = mean of colour channel k inside a fixed patch; nothing else in the image matters.

    Every honest map of a non-negative image has its maximum inside the patch.
    """

    def __init__(self, side: int = SIDE, patch: tuple[slice, slice] = PATCH) -> None:
        super().__init__()
        mask = torch.zeros(side, side)
        mask[patch] = 1
        self.colours = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.colours.weight.copy_(torch.eye(3)[:, :, None, None])
        self.window = Window(mask)
        self.area = float(mask.sum())

    def forward(self, images: Tensor) -> Tensor:
        return self.window(self.colours(images)).sum(dim=(2, 3)) / self.area


class ConstantModel(nn.Module):
    """The same logits for every image, reached through a layer of zero weights: every map is zero."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, classes, 3, padding=1, bias=False)
        nn.init.zeros_(self.conv.weight)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images).mean(dim=(2, 3)) + 0.5


class OneConv(nn.Module):
    """The worked example of captum's own tests (BasicModel_ConvNet_One_Conv)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3)
        self.relu1 = nn.ReLU()
        self.fc1 = nn.Linear(8, 4)
        self.relu2 = nn.ReLU()
        self.conv1.weight = nn.Parameter(torch.ones(2, 1, 3, 3))
        self.conv1.bias = nn.Parameter(torch.tensor([-50.0, -75.0]))
        self.fc1.weight = nn.Parameter(torch.cat([torch.ones(4, 5), -torch.ones(4, 3)], dim=1))
        self.fc1.bias = nn.Parameter(torch.zeros(4))

    def forward(self, images: Tensor) -> Tensor:
        return self.relu2(self.fc1(self.relu1(self.conv1(images)).flatten(1)))


class ThreePixels(nn.Module):
    """Captum's BasicModel_MultiLayer on images of one row and three pixels, with a baseline that is a shift."""

    def __init__(self, baseline: float = 0.0) -> None:
        super().__init__()
        self.linear1 = nn.Linear(3, 4)
        self.linear2 = nn.Linear(4, 2)
        self.baseline = baseline
        with torch.no_grad():
            self.linear1.weight.fill_(1)
            self.linear1.bias.copy_(torch.tensor([-10.0, 1, 1, 1]))
            self.linear2.weight.fill_(1)
            self.linear2.bias.copy_(torch.tensor([-1.0, 1]))

    def forward(self, images: Tensor) -> Tensor:
        return self.linear2(torch.relu(self.linear1(images.flatten(1) + self.baseline)))


class SmallCNN(nn.Module):
    """Convolution, BatchNorm with a history, in-place ReLU and dropout: what is easily left changed behind."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(51)
            self.body = nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1),
                nn.BatchNorm2d(8),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
                nn.Conv2d(8, 8, 3, padding=1),
                nn.BatchNorm2d(8),
                nn.ReLU(inplace=True),
            )
            self.drop = nn.Dropout(0.5)
            self.head = nn.Linear(8, classes)
            with torch.no_grad():
                self.train()
                for _ in range(3):
                    self(torch.rand(8, 3, 12, 12))
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.drop(self.body(images).mean(dim=(2, 3))))


class SmoothNet(nn.Module):
    """A small network without kinks, in float64: a quadrature of its gradient converges fast."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(51)
            self.net = nn.Sequential(
                nn.Conv2d(3, 6, 3, stride=2), nn.GELU(), nn.Conv2d(6, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(150, 3)
            )
        self.double().eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)


class Failing(nn.Module):
    """Any network that raises in the middle of its forward pass for images that are too bright.

    The place is after the body, so that hooks inside it have already been called.
    """

    def __init__(self, network: SmallCNN, limit: float = -1.0) -> None:
        super().__init__()
        self.network = network
        self.limit = limit

    def forward(self, images: Tensor) -> Tensor:
        features = self.network.body(images)
        if float(images.detach().mean(dim=(1, 2, 3)).amax()) > self.limit:
            raise RuntimeError("the lamp is too bright")
        return self.network.head(self.network.drop(features.mean(dim=(2, 3))))


class NaNModel(PatchModel):
    """`PatchModel` whose logits of images with a bright first pixel are NaN.

    Args:
        through_gradient: whether the gradient is NaN too; else only the logits are, and maps look healthy.
    """

    def __init__(self, through_gradient: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.through_gradient = through_gradient

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        sick = torch.where(images.detach()[:, :1, 0, 0] > 0.9, torch.nan, 1.0)
        return logits * sick if self.through_gradient else logits + (sick - 1)


class Detector(nn.Module):
    """Logit k = mean over a coarse grid of how much more colour k there is than of both others.

    Grey is nothing: the map's only evidence lies where something of colour k stands.
    """

    def __init__(self, cell: int = 8) -> None:
        super().__init__()
        self.colours = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.colours.weight.copy_((1.5 * torch.eye(3) - 0.5)[:, :, None, None])
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AvgPool2d(cell)

    def forward(self, images: Tensor) -> Tensor:
        return self.pool(self.relu(self.colours(images))).mean(dim=(2, 3))


def resize(side: int = SIDE) -> Callable[..., Tensor]:
    """The plainest preprocessing: stretch the whole image to a square of values in [0, 1]."""
    return transforms.Compose([transforms.Resize((side, side)), transforms.ToTensor()])


def adapt(module: nn.Module, layer: str | None = None, transform: Any = None, classes: int = 3) -> ModelAdapter:
    """Wrap a module with class names and preprocessing."""
    names = CLASSES[:classes] if classes <= 3 else tuple(f"class {i}" for i in range(classes))
    return ModelAdapter(module, names, transform or resize(), layer)


def batch(images: Tensor, plus: int | Sequence[int] = 0, minus: int | None = None, seed: int = 1) -> Batch:
    """Put images into a batch; each has a seed of its own."""
    columns = [plus] * len(images) if isinstance(plus, int) else list(plus)
    targets = tuple(Target(column, str(column), minus) for column in columns)
    return Batch(images, targets, tuple(seed + i for i in range(len(images))))


def draw(count: int = 3, side: int = SIDE, seed: int = 7) -> Tensor:
    """Draw images (N, 3, side, side) in [0, 1)."""
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def method(name: str, **parameters: Any) -> Method:
    """Return a registered method."""
    return get_method(name, parameters)[1]


def load_chunk(paths: Sequence[str], model: ModelAdapter, **labels: Any) -> list[Any]:
    """Read images as a run does; sample ids are "0", "1", …"""
    items = [SampleItem(str(i), path, **labels) for i, path in enumerate(paths)]
    (chunk,) = load_ahead([items], model, 2)
    return chunk


def loaded(chunk: Sequence[Any]) -> list[LoadedImage]:
    """Return the images of a chunk that could be read."""
    return [entry for entry in chunk if isinstance(entry, LoadedImage)]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All that a caller can see of a module: two snapshots of an untouched module have no difference."""

    modes: dict[str, bool] = field(default_factory=dict)
    inplace: dict[str, bool] = field(default_factory=dict)
    hooks: dict[str, list[int]] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    gradients: dict[str, Tensor | None] = field(default_factory=dict)
    requires_grad: dict[str, bool] = field(default_factory=dict)

    @classmethod
    def of(cls, module: nn.Module) -> Snapshot:
        kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
        named = dict(module.named_modules())
        parameters = dict(module.named_parameters())
        return cls(
            modes={n: m.training for n, m in named.items()},
            inplace={n: m.inplace for n, m in named.items() if hasattr(m, "inplace")},
            hooks={f"{n}.{kind}": list(getattr(m, kind)) for n, m in named.items() for kind in kinds},
            tensors={n: t.detach().clone() for n, t in module.state_dict(keep_vars=True).items()},
            gradients={n: None if p.grad is None else p.grad.clone() for n, p in parameters.items()},
            requires_grad={n: p.requires_grad for n, p in parameters.items()},
        )

    def differences(self, other: Snapshot) -> list[str]:
        """Name every part that differs."""
        found = [
            kind
            for kind in ("modes", "inplace", "hooks", "requires_grad")
            if getattr(self, kind) != getattr(other, kind)
        ]
        found += [f"value of {n}" for n, t in self.tensors.items() if not torch.equal(t, other.tensors[n])]
        found += [f"gradient of {n}" for n, g in self.gradients.items() if not _same(g, other.gradients[n])]
        return found


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other is None or (one is not None and other is not None and torch.equal(one, other))


def argmax2d(values: np.ndarray) -> tuple[int, int]:
    """Return row and column of the maximum."""
    row, column = np.unravel_index(int(np.argmax(values)), values.shape)
    return int(row), int(column)
