"""Find out what a model's numbers are: from the softmax or sigmoid that it ends in, or from its answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from fiftyone_saliency.core.errors import ModelError, SaliencyError
from fiftyone_saliency.core.types import Scores
from fiftyone_saliency.models.scores import Scoring

_LOG = logging.getLogger("fiftyone_saliency")
# Rows of half-precision probabilities of a thousand classes add up to 1 no better than this.
_TOLERANCE = 1e-2
_SOFTMAX = "softmax"
_SIGMOID = "sigmoid"


class BeforeLast(TorchFunctionMode):
    """While it is entered, remembers what went into each softmax and sigmoid over classes."""

    def __init__(self) -> None:
        super().__init__()
        # The outputs are held, so that no other tensor takes their identity.
        self._inputs: dict[int, tuple[Tensor, Tensor, str]] = {}
        self.shapes: set[tuple[int, ...]] = set()

    def end(self, output: Tensor) -> str | None:
        """Return which of the two made the output, None if none did."""
        return self._inputs[id(output)][2] if id(output) in self._inputs else None

    def before(self, output: Tensor) -> Tensor:
        """Return what went into the softmax or sigmoid that made the output.

        Raises:
            ModelError: if none did.
        """
        if id(output) not in self._inputs:
            raise ModelError(
                "Expected the network to end in a softmax or sigmoid for every image, as it did for the first ones, "
                "but it does not. Return the logits from the network."
            )
        return self._inputs[id(output)][1]

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of PyTorch, and note what it was given if it is one of the two."""
        kwargs = kwargs or {}
        source = args[0] if args else kwargs.get("input")
        kind = _ENDS.get(func)
        # A function that writes in place leaves nothing of its input.
        given = source.clone() if kind and isinstance(source, Tensor) and func.__name__.endswith("_") else source
        output = func(*args, **kwargs)
        if not isinstance(output, Tensor) or output.ndim > 2:
            return output
        if kind is not None and isinstance(given, Tensor):
            self._inputs[id(output)] = output, given, kind
            if kind == _SIGMOID:
                self.shapes.add(tuple(output.shape))
        elif func.__name__ in _SAME_NUMBERS and args and id(source) in self._inputs:
            _, given, kind = self._inputs[id(source)]
            self._inputs[id(output)] = output, func(given, *args[1:], **kwargs), kind
        return output


_ENDS: dict[Any, str] = {
    **dict.fromkeys((F.softmax, torch.softmax, torch.special.softmax, Tensor.softmax), _SOFTMAX),
    **dict.fromkeys((F.sigmoid, torch.sigmoid, torch.special.expit, Tensor.sigmoid, F.logsigmoid), _SIGMOID),
    **dict.fromkeys((torch.sigmoid_, Tensor.sigmoid_), _SIGMOID),
}
_SAME_NUMBERS = {
    *("__getitem__", "clone", "contiguous", "double", "flatten", "float", "reshape", "squeeze", "to", "type"),
    *("unsqueeze", "view"),
}


@dataclass(frozen=True, eq=False)
class Asked:
    """A model that more can be asked of, where its first answer leaves open what its numbers are.

    Args:
        answer: the model: images (N, C, H, W) to rows of numbers.
        image: (1, C, H, W), from which others are drawn.
        is_network: whether it is a torch network, of which the functions that it calls are seen.
    """

    answer: Callable[[Tensor], Tensor]
    image: Tensor
    is_network: bool

    def rows(self) -> Tensor:
        """Return the answers to unlike images, most of them far from any photo: logits then leave [0, 1].

        The first answer that leaves it is the last one. An image that the model does not take tells nothing.
        """
        image = self.image.detach()
        found: list[Tensor] = []
        with torch.no_grad():
            for other in (*(image * factor for factor in _FACTORS), image.flip(-1)):
                try:
                    found.append(_finite(self.answer(other)))
                except (SaliencyError, MemoryError, torch.OutOfMemoryError):
                    raise
                except Exception as error:  # noqa: BLE001 - a network may raise anything
                    _LOG.debug("A model does not take an image far from any photo: %r", error)
                    continue
                if not _in_unit(found[-1]):
                    break
        return torch.cat(found) if found else _finite(self.answer(image))


def first_scoring(rows: Tensor, seen: BeforeLast, classes: int, told: Scores | None) -> Scoring | None:
    """Return what one forward pass shows a model's numbers to be; None if more must be asked, see `find_scoring`.

    Args:
        rows: what it answered to some images, (N, K) or (N, 1).
        seen: what it called meanwhile.
        classes: number of class names, K.
        told: what the user says they are.

    Raises:
        ModelError: if the numbers are not what they are told to be.
    """
    single = (rows.shape[1], classes) == (1, 2)
    end = None if told == "logits" else seen.end(rows)
    function = None if end == _SOFTMAX and not _add_up(rows) else end
    if function == _SOFTMAX and told == "sigmoid" and not single:
        raise ModelError(
            "Expected classes that do not exclude each other, as told, but the network ends in a softmax. Leave "
            "`scores` out, or end the network in a sigmoid."
        )
    if function is not None and (told is None or told in _TOLD_BY[function, single]):
        known = _TOLD if told else f"the network ends in a {function}, and they are read before it"
        return _known(function == _SOFTMAX or single, single, classes, known, before=True)
    in_unit = _in_unit(_finite(rows))
    if told == "probabilities":
        return _as_told(rows, single, classes)
    if told == "sigmoid":
        return None if in_unit else Scoring(single, single=single, reason=_TOLD)
    if told is None and in_unit:
        return None
    return _known(True, single, classes, _TOLD if told else "they are not probabilities")


def find_scoring(rows: Tensor, seen: BeforeLast, model: Asked, classes: int, told: Scores | None) -> Scoring:
    """Find out what a model's numbers are, from what it ends in and from its answers; see `first_scoring`.

    Args:
        rows: what it answered to some images, (N, K) or (N, 1).
        seen: what it called meanwhile.
        model: the model, to be asked for more.
        classes: number of class names, K.
        told: what the user says they are.

    Raises:
        ModelError: if the numbers are not what they are told to be.
    """
    first = first_scoring(rows, seen, classes, told)
    if first is not None:
        return first
    single = (rows.shape[1], classes) == (1, 2)
    many = torch.cat([_finite(rows), model.rows()])
    in_unit = _in_unit(many)
    # A network that answers the same to every image says nothing.
    in_unit = in_unit and not (model.is_network and bool((many == many[:1]).all()))
    after_sigmoid = tuple(rows.shape) in seen.shapes
    if told == "sigmoid":
        return Scoring(single, in_unit, single, reason=_TOLD)
    if not in_unit:
        return _known(True, single, classes, "they are not probabilities")
    if single:
        return Scoring(True, True, True, reason="it is one number in [0, 1], whatever the image")
    if _add_up(many):
        return _known(True, single, classes, "they lie in [0, 1] and add up to 1", probabilities=True)
    if after_sigmoid:
        return Scoring(False, True, reason="they lie in [0, 1] after a sigmoid")
    return Scoring(None, reason=_UNKNOWN)


_TOLD = "told, or said by the model's configuration"
# The strongest first: most logits are told by them.
_FACTORS = (100.0, -10.0, 10.0, -1.0, 0.3, 0.0)
_UNKNOWN = (
    "they lie in [0, 1] and do not add up to 1. Pass scores='sigmoid' to load_model where they are probabilities of "
    "classes that do not exclude each other, or scores='logits' where they are logits"
)
_ONE_CLASS = (
    "there is one class, whose softmax is always 1. Pass two classes to load_model, [negative, positive], such as "
    "['no dog', 'dog'], or scores='sigmoid' where the label is there or not"
)


# What a user may call the numbers after a softmax or sigmoid, of two classes by one number or of one class by each.
_TOLD_BY = {
    (_SOFTMAX, False): {"probabilities"},
    (_SOFTMAX, True): {"probabilities", "sigmoid"},
    (_SIGMOID, False): {"sigmoid"},
    (_SIGMOID, True): {"probabilities", "sigmoid"},
}


def _known(exclusive: bool, single: bool, classes: int, reason: str, **read: bool) -> Scoring:
    if exclusive and classes == 1:
        return Scoring(None, single=False, reason=_ONE_CLASS, **read)
    return Scoring(exclusive, single=single, reason=reason, **read)


def _as_told(rows: Tensor, single: bool, classes: int) -> Scoring:
    """Return how numbers are read that are told to be probabilities."""
    if not _in_unit(_finite(rows)) or not (single or _add_up(_finite(rows))):
        numbers = ", ".join(f"{number:.3g}" for number in rows[0, :5].tolist())
        raise ModelError(
            "Expected probabilities in [0, 1] that add up to 1 for each image, as told, but an image got "
            f"[{numbers}{', ...' if rows.shape[1] > 5 else ''}]. Pass scores='logits' to load_model, or "
            "scores='sigmoid' where the classes do not exclude each other."
        )
    return _known(True, single, classes, _TOLD, probabilities=True)


def _finite(rows: Tensor) -> Tensor:
    rows = rows.detach().double().cpu()
    return rows[rows.isfinite().all(dim=1)]


def _in_unit(rows: Tensor) -> bool:
    return bool(((rows >= 0) & (rows <= 1 + _TOLERANCE)).all())


def _add_up(rows: Tensor) -> bool:
    return bool(((rows.detach().double().sum(dim=1) - 1).abs() <= _TOLERANCE).all())
