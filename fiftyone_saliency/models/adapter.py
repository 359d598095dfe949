"""The one shape that every model takes here: images → one number per class, with what belongs to it."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from fiftyone_saliency.core.checks import check_choice
from fiftyone_saliency.core.errors import ModelError, SaliencyError
from fiftyone_saliency.core.frames import describe
from fiftyone_saliency.core.types import SCORES, Placement, Scores
from fiftyone_saliency.models.find_scores import Asked, BeforeLast, find_scoring, first_scoring
from fiftyone_saliency.models.layers import default_layer, find_layer
from fiftyone_saliency.models.lending import lent
from fiftyone_saliency.models.preprocessing import GivenPlacement, MisfitError, Preprocessing, Size
from fiftyone_saliency.models.scores import Scoring, as_rows

_LOG = logging.getLogger("fiftyone_saliency")
_SHOWN = 4
_PROBE_SIZE = (320, 240)
_TOLD_SIZES = 3


@dataclass(frozen=True, eq=False)
class ModelAdapter:
    """An image classifier with its classes, its preprocessing and the layer that CAM methods look at.

    The module is lent, not taken: inside `explaining` it is in evaluation mode without in-place activations,
    afterwards it is as it was, also after an exception.

    Args:
        module: network that maps images (N, C, H, W) to logits (N, K), or (N, 1) for two classes.
        classes: K class names in the order of the logits.
        transform: what turns an RGB ``PIL.Image`` into a tensor (C, H, W).
        layer: dotted name of the CAM layer; None finds the last one with a spatial output.
        name: what a person calls the model.
        differentiable: False for a black box (an ONNX file, a plain function): only perturbation methods explain it.
        scores: what the network's numbers are, see `fiftyone_saliency.load_model`; None finds out.
        placement: where the transform's output lies in the image, see `fiftyone_saliency.load_model`; None finds out.
        probe_size: width and height of the image that the network is tried with, see `for_size`.
    """

    module: nn.Module
    classes: tuple[str, ...]
    transform: Callable[[Image.Image], Any]
    layer: str | None = None
    name: str = ""
    differentiable: bool = True
    scores: Scores | None = None
    placement: GivenPlacement = None
    probe_size: Size = _PROBE_SIZE

    def __post_init__(self) -> None:
        if self.scores is not None:
            check_choice(self.scores, "scores", SCORES)
        if len(set(self.classes)) != len(self.classes):
            twice = sorted({c for c in self.classes if self.classes.count(c) > 1})
            raise ModelError(f"Expected `classes` to be distinct, but {twice[:3]} appear more than once.")
        if self.layer is not None:
            find_layer(self.module, self.layer, self._probe)

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """The transform together with its inverse, the placement."""
        return Preprocessing(self.transform, self.placement)

    @property
    def device(self) -> torch.device:
        """Where the module's parameters live."""
        return next((p.device for p in self.module.parameters()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The floating type of the module's parameters."""
        return next((p.dtype for p in self.module.parameters() if p.is_floating_point()), torch.float32)

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits over weights, architecture, classes, CAM layer, scores and preprocessing."""
        digest = hashlib.sha256(repr(self.module).encode())
        digest.update(repr(_settings(self.module)).encode())
        for name, value in self.module.state_dict().items():
            digest.update(name.encode())
            if isinstance(value, Tensor):
                digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        digest.update(repr((self.classes, self.layer, self.scoring.identity)).encode())
        digest.update(self.preprocessing.fingerprint_at(self.probe_size))
        if getattr(self.module, "known_by_answers", False):
            digest.update(self._answers().encode())
        return digest.hexdigest()[:16]

    def prepare(self, image: Image.Image) -> tuple[Tensor, Placement]:
        """Turn an upright RGB image into the network's input (C, H, W) and say where it lies in the image."""
        return self.preprocessing(image)

    @cached_property
    def scoring(self) -> Scoring:
        """How the network's numbers are read: as told, or as it ends, and as it answers to drawn images.

        Raises:
            ModelError: if the network does not return one row of numbers per image, or not what is told.
        """
        # Whoever asks, and in whatever precision, is told the same.
        whole = torch.autocast(self.device.type, enabled=False)
        with lent(self.module), torch.no_grad(), whole, self.probing() as images:
            with BeforeLast() as seen:
                rows = self._rows(images)
            return self._find_scoring(images, rows, seen)

    def logits(self, images: Tensor) -> Tensor:
        """Run the network.

        Args:
            images: (N, C, H, W) on any device, of any floating type.

        Returns:
            One column per class, (N, K), float32 or finer: logits, or what `scoring` says.

        Raises:
            ModelError: if the network does not return one row of numbers per image, or not what is told.
        """
        scoring: Scoring | None = self.__dict__.get("scoring") or self.__dict__.get("_meanwhile")
        if scoring is not None and not scoring.before:
            rows = self._rows(images)
        else:
            with BeforeLast() as seen:
                rows = self._rows(images)
            if scoring is None:
                scoring = self._first_scoring(images, rows, seen)
            rows = seen.before(rows) if scoring.before else rows
        return scoring.columns(rows if rows.dtype == torch.float64 else rows.float())

    def _first_scoring(self, images: Tensor, rows: Tensor, seen: BeforeLast) -> Scoring:
        """Return how the numbers of the first forward pass are read.

        A method's hooks may stand on the network: as long as a number per class is the column itself, whatever it is,
        the network is called no more often than asked for. `scoring` asks on.
        """
        first = first_scoring(rows, seen, len(self.classes), self.scores)
        if first is None and self.differentiable and rows.shape[1] == len(self.classes):
            self.__dict__["_meanwhile"] = Scoring()
            return self.__dict__["_meanwhile"]
        self.__dict__["scoring"] = first or self._find_scoring(images[:1], rows, seen)
        return self.__dict__["scoring"]

    def _find_scoring(self, image: Tensor, rows: Tensor, seen: BeforeLast) -> Scoring:
        asked = Asked(self._rows, image, self.differentiable)
        return find_scoring(rows, seen, asked, len(self.classes), self.scores)

    def _rows(self, images: Tensor) -> Tensor:
        return as_rows(self.module(images.to(self.device, self.dtype)), len(images), len(self.classes))

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probability of each class, float64 (N, K), of what `logits` returned.

        Raises:
            ModelError: if it is not known what the model's numbers are.
        """
        self.require_probabilities()
        return self.scoring.probabilities_of(logits)

    def require_probabilities(self) -> None:
        """Raise unless it is known what the model's numbers are.

        Raises:
            ModelError: with what to say to `load_model`.
        """
        self.scoring.require_known(self.name or "the model")

    def twin(self, module: nn.Module, **changes: Any) -> ModelAdapter:
        """Return the model with another network in its place; what was found out of this one holds for both."""
        other = replace(self, module=module, **changes)
        known = ("preprocessing", "scoring")
        other.__dict__.update({name: value for name, value in self.__dict__.items() if name in known})
        return other

    def for_size(self, size: Size | None) -> ModelAdapter:
        """Return the model as it is tried with images of ``(width, height)`` pixels: those of the data; None is any.

        The network is the same, and so is the fingerprint of a network that takes images of every size.
        """
        if size is None or size == self.probe_size:
            return self
        _ = self.preprocessing  # one for both, with all that it finds out
        return self.twin(self.module, probe_size=size)

    @cached_property
    def cam_layer(self) -> str:
        """Name of the layer that CAM methods look at: the given one, else the last one with a feature map.

        Raises:
            ModelError: if no layer has a feature map.
        """
        if self.layer is not None:
            return self.layer
        with self.explaining(), torch.no_grad(), self.probing() as images:
            return default_layer(self.module, lambda: self.logits(images))[0]

    def _probe(self) -> Tensor:
        with self.explaining(), torch.no_grad(), self.probing() as images:
            return self.logits(images)

    def probe_image(self) -> Tensor:
        """Return a drawn image as the network's input (1, C, H, W): the same in every process."""
        return self.preprocessing.drawn(self.probe_size)[None].to(self.device, self.dtype)

    @contextmanager
    def probing(self) -> Iterator[Tensor]:
        """Lend a drawn image as the network's input (1, C, H, W).

        Raises:
            ModelError: if the network cannot take it, with both sizes.
        """
        images = self.probe_image()
        try:
            yield images
        except (SaliencyError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            if not self._breaks_with(images):
                raise
            size = f"{self.probe_size[0]} × {self.probe_size[1]}"
            raise MisfitError(
                f"Expected the network to take what `transform` makes of an image of {size} pixels, a tensor of shape "
                f"{tuple(images.shape[1:])}, but it raised {type(error).__name__}: {error}. Let `transform` bring the "
                "images to the size that the network is built for."
            ) from error

    def _breaks_with(self, images: Tensor) -> bool:
        """Return whether the network alone raises, and not what was done with it."""
        try:
            with lent(self.module), torch.no_grad():
                self.module(images)
        except Exception:  # noqa: BLE001 - which error it is, the first one tells
            return True
        return False

    def _answers(self) -> str:
        """Return a hash of the answers to a drawn image: at the usual size, where the model takes that."""
        try:
            scores = self.for_size(_PROBE_SIZE)._probe()
        except MisfitError:
            if self.probe_size == _PROBE_SIZE:
                raise
            scores = self._probe()
        text = " ".join(f"{score:.3g}" for score in scores.flatten().tolist())
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @contextmanager
    def explaining(self) -> Iterator[ModelAdapter]:
        """Borrow the module for differentiation: evaluation mode, no in-place activations, frozen, not compiled."""
        with lent(self.module):
            yield self

    def __str__(self) -> str:
        lines = [f"{self.name or type(self.module).__name__}: {len(self.classes)} classes"]
        try:
            lines.append(f"  scores: {self.scoring}")
            seen = self.preprocessing.placements or {self.probe_size: self.preprocessing.placement(self.probe_size)}
            lines += [f"  sees {describe(placement, size)}" for size, placement in list(seen.items())[:_TOLD_SIZES]]
        except MisfitError as error:
            # A network of one size says no more before it has met the data.
            lines.append(f"  not tried with its data yet: {error}")
        return "\n".join(lines)


def _settings(module: nn.Module) -> list[tuple[str, list[tuple[str, object]]]]:
    """Return what a network's layers are set to, such as the number of heads, which neither name nor weight shows."""
    lent = {"training", "inplace"}
    return [
        (name, sorted((k, v) for k, v in vars(m).items() if _is_setting(k, v) and k not in lent))
        for name, m in module.named_modules()
    ]


def _is_setting(name: str, value: object) -> bool:
    return not name.startswith("_") and isinstance(value, (bool, int, float))


def check_classes(classes: Sequence[str] | None, source: str) -> tuple[str, ...]:
    """Return the class names as text; one that stands for two classes, as ImageNet's "crane", takes its column with it.

    A name with a column is the same wherever it is written: in predictions, targets and matrices.

    Raises:
        ModelError: if there are none.
    """
    if not classes or isinstance(classes, str):
        raise ModelError(
            f"Expected `classes` to list the class names in the order of the logits, but got {classes!r} for "
            f"{source}. Pass `classes=[...]`."
        )
    names = tuple(str(c) for c in classes)
    numbered = _numbered(names)
    told = [f"{new!r}" for old, new in zip(names, numbered, strict=True) if old != new]
    if told:
        more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
        shown = ", ".join(told[:_SHOWN]) + more
        _LOG.warning("Classes of %s share names; they are told apart by their columns: %s.", source, shown)
    return numbered


def _numbered(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names, all different: those that are the same, with their columns behind them."""
    while len(set(names)) < len(names):
        times = Counter(names)
        names = tuple(name if times[name] == 1 else f"{name} ({column})" for column, name in enumerate(names))
    return names
