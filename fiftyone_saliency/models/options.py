"""What a person says of a model beside the model itself, and the packages that loaders ask for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from fiftyone_saliency.core.errors import ArgumentError, MissingExtraError, ModelError
from fiftyone_saliency.core.types import Placement, Scores
from fiftyone_saliency.models.adapter import ModelAdapter, check_classes
from fiftyone_saliency.models.preprocessing import GivenPlacement

_USES = {
    "weights": "a torch network, or the name of an architecture of torchvision, timm or open_clip",
    "prompts": "a CLIP model, whose classes are texts",
}


@dataclass(frozen=True, eq=False)
class LoadOptions:
    """The arguments of `load_model` beside its source; None leaves it to the model."""

    classes: Sequence[str] | None = None
    transform: Callable[..., Any] | None = None
    layer: str | None = None
    weights: str | Path | None = None
    prompts: Sequence[str] | None = None
    scores: Scores | None = None
    placement: GivenPlacement = None

    def __post_init__(self) -> None:
        if not (self.placement is None or isinstance(self.placement, Placement) or callable(self.placement)):
            raise ArgumentError(
                "Expected `placement` to be a `Placement`, or a function from the size (width, height) of an image to "
                f"one, but got {self.placement!r}. Pass Placement(x, y, width, height), in shares of the image."
            )

    def refuse(self, argument: str, source: object) -> None:
        """Raise if an argument is given that this source has no use for.

        Args:
            argument: ``"weights"`` or ``"prompts"``.
            source: what a person calls the model.

        Raises:
            ArgumentError: if it is given.
        """
        if getattr(self, argument) is not None:
            raise ArgumentError(f"Expected `{argument}` only with {_USES[argument]}, but got it for {source}.")

    def adapt(
        self,
        module: nn.Module,
        name: str,
        classes: Iterable[Any] | None = None,
        transform: Callable[..., Any] | None = None,
        differentiable: bool = True,
        scores: Scores | None = None,
    ) -> ModelAdapter:
        """Join a network with what was said of it.

        Args:
            module: network that returns logits.
            name: what a person calls it.
            classes: class names that the model brings itself; those of the caller come first.
            transform: preprocessing that the model brings itself; the caller's comes first.
            differentiable: False for a black box.
            scores: what its configuration says that its numbers are; the caller's word comes first.

        Raises:
            ModelError: if nobody named the classes, or the preprocessing.
        """
        chosen = self.transform or transform
        if chosen is None:
            raise ModelError(
                f"Expected `transform`, the preprocessing that {name} was trained with, but got None. "
                "Pass a callable that turns a PIL image into a tensor (C, H, W)."
            )
        names = check_classes(self.classes or (None if classes is None else list(classes)), name)
        told = self.scores or scores
        return ModelAdapter(module, names, chosen, self.layer, name, differentiable, told, self.placement)


def import_extra(package: str, extra: str, source: object) -> Any:
    """Return an optional package.

    Args:
        package: what to import.
        extra: the extra of this package that brings it.
        source: what needs it, for the error.

    Raises:
        MissingExtraError: if it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(
            f"Expected the package {package} for {source}, but it is not installed ({error}). "
            f"Run `pip install 'fiftyone-saliency[{extra}]'`."
        ) from error


def is_of(thing: object, package: str, *classes: str) -> bool:
    """Return whether a thing is of a class of a package, without importing that: who holds one has imported it."""
    module = sys.modules.get(package)
    kinds = tuple(kind for name in classes if isinstance(kind := getattr(module, name, None), type))
    return bool(kinds) and isinstance(thing, kinds)
