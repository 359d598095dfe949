"""Networks for methods that cannot look into a plain CNN, each with a body and a head, and their maps known by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tests.oracles import PATCH, SIDE, ConstantModel, Failing, PatchModel, SmallCNN

CELL = 8  # pixels of a patch; the patch of `PatchModel` is one


class Tokens(nn.Module):
    """Cut images into patches of `CELL` pixels, one token each, in any number, after a class token if there is one."""

    def __init__(self, width: int, class_token: bool) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, CELL, stride=CELL)
        self.class_token = nn.Parameter(torch.randn(1, 1, width)) if class_token else None

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        if self.class_token is None:
            return tokens
        return torch.cat([self.class_token.expand(len(images), -1, -1), tokens], dim=1)


class Block(nn.Module):
    """A transformer's block, with PyTorch's own attention."""

    def __init__(self, width: int, heads: int, need_weights: bool) -> None:
        super().__init__()
        self.before = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.after = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Dropout(0.5), nn.Linear(width, width))
        self.need_weights = need_weights

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.before(tokens)
        tokens = tokens + self.attention(normed, normed, normed, need_weights=self.need_weights)[0]
        return tokens + self.mlp(self.after(tokens))


class Read(nn.Module):
    """Hand on the class token, or the mean of all tokens."""

    def __init__(self, class_token: bool) -> None:
        super().__init__()
        self.class_token = class_token

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens[:, 0] if self.class_token else tokens.mean(dim=1)


class TinyViT(nn.Module):
    """A vision transformer of drawn weights, without positions: it takes images of any size."""

    def __init__(self, classes: int = 3, class_token: bool = True, need_weights: bool = False) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(51)
            self.body = nn.Sequential(
                Tokens(16, class_token),
                Block(16, 2, need_weights),
                Block(16, 2, need_weights),
                nn.LayerNorm(16),
                Read(class_token),
            )
            self.head = nn.Linear(16, classes)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images))


class FixedAttention(nn.Module):
    """Add to each token what fixed attention (heads, T, T) takes from all; each head sees its part of the channels."""

    def __init__(self, scores: Tensor, width: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(scores)
        self.values = nn.Linear(width, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        images, count, width = tokens.shape
        heads = len(self.scores)
        values = self.values(tokens).view(images, count, heads, width // heads).transpose(1, 2)
        attention = self.scores.expand(images, -1, -1, -1).softmax(dim=-1)
        return tokens + (attention @ values).transpose(1, 2).reshape(images, count, width)


class FixedViT(nn.Module):
    """Layers of fixed attention and nothing between them: its rollout is a product of known matrices.

    Args:
        scores: (layers, heads, T, T), whose softmax is the attention.
        class_token: whether the head reads a class token, or the mean of all tokens.
    """

    def __init__(self, scores: Tensor, width: int = 4, class_token: bool = True) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(52)
            layers = [FixedAttention(layer, width) for layer in scores]
            self.body = nn.Sequential(Tokens(width, class_token), *layers, Read(class_token))
            self.head = nn.Linear(width, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images))


def cell_of_patch() -> tuple[int, int]:
    """Return the row and column of the token that `PATCH` is."""
    return PATCH[0].start // CELL, PATCH[1].start // CELL


class PatchViT(FixedViT):
    """Logit k = nearly the mean of colour channel k in a fixed patch: the class token attends to nothing else."""

    def __init__(self) -> None:
        cells = SIDE // CELL
        row, column = cell_of_patch()
        scores = torch.zeros(1, 1, 1 + cells**2, 1 + cells**2)
        scores[0, 0, 0, 1 + row * cells + column] = 6
        super().__init__(scores, width=3)
        tokens, layer = self.body[0], self.body[1]
        with torch.no_grad():
            tokens.class_token.zero_()
            tokens.patches.weight.copy_(torch.eye(3)[:, :, None, None].expand(-1, -1, CELL, CELL) / CELL**2)
            for linear in (layer.values, self.head):
                linear.weight.copy_(torch.eye(3))
            for bias in (tokens.patches.bias, self.head.bias):
                bias.zero_()


class ConstantViT(TinyViT):
    """The same logits for every image, reached through a head of zero weights."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.zeros_(self.head.weight)


class LayeredCNN(nn.Module):
    """`SmallCNN` with a layer for all that it computes: what is handed back layer by layer sees nothing else."""

    def __init__(self, classes: int = 3, bias: bool = True) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(51)
            self.body = nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1, bias=bias),
                nn.BatchNorm2d(8) if bias else nn.Identity(),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
                nn.Conv2d(8, 8, 3, padding=1, bias=bias),
                nn.BatchNorm2d(8) if bias else nn.Identity(),
                nn.ReLU(inplace=True),
                nn.AdaptiveAvgPool2d(2),
                nn.Flatten(),
                nn.Dropout(0.5),
            )
            self.head = nn.Linear(32, classes, bias=bias)
            with torch.no_grad():
                self.train()
                for _ in range(3):
                    self(torch.rand(8, 3, 12, 12))
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images))


class LayeredPatch(nn.Module):
    """`PatchModel` out of layers: a linear layer that reads the mean of each colour in the patch."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.Flatten())
        self.head = nn.Linear(3 * SIDE * SIDE, 3, bias=False)
        weight = torch.zeros(3, 3, SIDE, SIDE)
        for k in range(3):
            weight[(k, k, *PATCH)] = 1 / CELL**2
        with torch.no_grad():
            self.body[0].weight.copy_(torch.eye(3)[:, :, None, None])
            self.head.weight.copy_(weight.flatten(1))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images))


class LayeredConstant(LayeredCNN):
    """The same logits for every image, reached through a convolution of zero weights."""

    def __init__(self) -> None:
        super().__init__()
        with torch.no_grad():
            for tensor in (self.body[0].weight, self.body[0].bias):
                tensor.zero_()
            self.head.weight.zero_()
            self.head.bias.fill_(0.5)


class FailingBetween(nn.Module):
    """Any of these networks that raises after its body for images that are too bright."""

    def __init__(self, network: nn.Module, limit: float = -1.0) -> None:
        super().__init__()
        self.network = network
        self.limit = limit

    def forward(self, images: Tensor) -> Tensor:
        features = self.network.body(images)
        if float(images.detach().mean(dim=(1, 2, 3)).amax()) > self.limit:
            raise RuntimeError("the lamp is too bright")
        return self.network.head(features)


@dataclass(frozen=True)
class Networks:
    """The networks that the methods of a family are tried on.

    Args:
        small: a drawn network with parts that are easily left changed behind.
        patch: its logit k depends on colour k in `PATCH` only.
        constant: the same logits for every image.
        failing: wraps `small` so that it raises in the middle.
        layer: the CAM layer of `failing`.
        cell: pixels of the image under one value of the map of `patch`.
    """

    small: Callable[[], nn.Module] = SmallCNN
    patch: Callable[[], nn.Module] = PatchModel
    constant: Callable[[], nn.Module] = ConstantModel
    failing: Callable[..., nn.Module] = Failing
    layer: str | None = "network.body.4"
    cell: int = 1


_SPECIAL = {
    "attention": Networks(TinyViT, PatchViT, ConstantViT, FailingBetween, None, CELL),
    "propagation": Networks(LayeredCNN, LayeredPatch, LayeredConstant, FailingBetween, None),
}


def networks_of(family: str) -> Networks:
    """Return the networks for a family of methods: small CNNs, unless it looks for something that they lack."""
    return _SPECIAL.get(family, Networks())
