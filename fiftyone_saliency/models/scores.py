"""What the numbers that a model returns are: logits or probabilities, of classes that exclude each other or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from fiftyone_saliency.core.errors import ArgumentError, ModelError
from fiftyone_saliency.core.types import Output, Scores, Target

# Rows of half-precision probabilities of a thousand classes add up to 1 no better than this.
_TOLERANCE = 1e-2
_SOFTMAX = "softmax"
_SIGMOID = "sigmoid"


@dataclass(frozen=True)
class Scoring:
    """How a model's numbers are read.

    A column of the adapter's `logits` is then a number per class: a logit, or a probability where the network gives
    nothing else. One number that decides between two classes, the logit z of the second one, becomes the columns 0
    and z, whose softmax is the sigmoid of z.

    Args:
        exclusive: whether an image has exactly one of the classes (softmax), or each one is there or not (sigmoid);
            None where that is not known.
        probabilities: whether the columns are probabilities; else they are logits.
        single: whether one number decides between two classes.
        before: whether the numbers are read before the softmax or sigmoid that the network ends in.
        reason: how that is known.
    """

    exclusive: bool | None = True
    probabilities: bool = False
    single: bool = False
    before: bool = False
    reason: str = "nothing speaks against it"

    @property
    def identity(self) -> tuple[object, ...]:
        """What decides pixels and answers, without the reason."""
        return self.exclusive, self.probabilities, self.single, self.before

    def columns(self, numbers: Tensor) -> Tensor:
        """Return one column per class, (N, K), of the numbers that the network returned."""
        if not self.single:
            return numbers
        if self.probabilities:
            return torch.cat([1 - numbers, numbers], dim=1)
        return F.pad(numbers, (1, 0))

    def probabilities_of(self, columns: Tensor) -> Tensor:
        """Return the probability of each class, float64 (N, K), in [0, 1]; it must be known what the numbers are."""
        wide = columns.double()
        if self.probabilities:
            return wide.clamp(0, 1)
        return wide.softmax(dim=1) if self.exclusive else wide.sigmoid()

    def answers(self, columns: Tensor) -> Tensor:
        """Return what the model says of each image, bool (N, K): the one class, or each label of at least .5."""
        if self.exclusive is False:
            return columns >= (0.5 if self.probabilities else 0)
        return F.one_hot(columns.argmax(dim=1), columns.shape[1]).bool()

    def logits_of(self, columns: Tensor) -> Tensor:
        """Return the columns as logits, of which a softmax or sigmoid makes the probabilities.

        A probability of 0 or 1 counts as 1.2e-7 from it, the step of a float32 below 1: its logit would be infinite.

        Args:
            columns: (N, K).
        """
        if not self.probabilities:
            return columns
        step = torch.finfo(torch.float32).eps
        wide = columns.double()
        logits = wide.clamp(step, 1).log() if self.exclusive else wide.logit(step)
        return logits.to(columns.dtype)

    def checked_output(self, output: Output, name: str) -> Output:
        """Return what is explained: a model that gives probabilities alone is explained by them.

        Raises:
            ArgumentError: if softmax is asked for classes that do not exclude each other, or sigmoid for others.
            ModelError: if probabilities are asked for, and it is not known what the numbers are.
        """
        if output == "logits" and not (self.probabilities and self.exclusive is not None):
            return output
        self.require_known(name)
        right: Output = _SOFTMAX if self.exclusive else _SIGMOID
        if output not in {"logits", right} and not self.single:
            kind = "exclude each other" if self.exclusive else "do not exclude each other"
            raise ArgumentError(
                f"Expected `output` to be 'logits' or {right!r} for {name}, whose classes {kind}, but got {output!r}."
            )
        return right

    def link(self, output: Output) -> Output:
        """Return what makes the explained score of a column: ``"logits"`` where that is the column itself."""
        return "logits" if self.probabilities else output

    def explained(self, target: Target, output: Output) -> Target:
        """Return the target as columns: of one number for two classes, a class's logit is that over the other's."""
        if self.single and target.minus is None and not self.probabilities and output == "logits":
            return Target(target.index, target.label, 1 - target.index)
        return target

    def require_known(self, name: str) -> None:
        """Raise unless it is known what the numbers are.

        Raises:
            ModelError: with what to say to `load_model`.
        """
        if self.exclusive is None:
            raise ModelError(f"Expected to know what the scores of {name} are, but {self.reason}.")

    def __str__(self) -> str:
        if self.exclusive is None:
            return f"not known: {self.reason}"
        kind = "probabilities" if self.probabilities else "logits"
        of = "one of two classes" if self.single else "classes that exclude each other (softmax)"
        if not self.exclusive:
            of = "classes that do not exclude each other (sigmoid)"
        return f"{kind} of {of}: {self.reason}"


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


def as_rows(output: Any, images: int, classes: int) -> Tensor:
    """Return what a network answered as one row of numbers per image.

    Args:
        output: the answer: a tensor, or an object with one as ``logits``.
        images: N.
        classes: number of class names; for two, one number per image is enough.

    Raises:
        ModelError: if it is anything else.
    """
    if not isinstance(output, Tensor):
        output = getattr(output, "logits", output)
    if isinstance(output, Tensor) and classes <= 2 and output.shape in {(images,), (1,) * (images == 1), ()}:
        # One number per image; where there is but one, a squeeze may have taken all axes.
        output = output.reshape(-1, 1)
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != images:
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ModelError(
            f"Expected the model to return a tensor of logits (N, K) for N={images}, but got {got}. "
            "Wrap the model in a module that returns the logits alone."
        )
    if output.shape[1] != classes and (output.shape[1], classes) != (1, 2):
        raise ModelError(
            f"Expected one class name per logit, but the model returns {output.shape[1]} logits and `classes` "
            f"has {classes} names. Pass the class list in the order of the logits."
        )
    return output


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
        """Return the answers to unlike images, most of them far from any photo: logits then leave [0, 1]."""
        image = self.image.detach()
        images = (image.flip(-1), *(image * factor for factor in _FACTORS))
        with torch.no_grad():
            rows = torch.cat([self.answer(other).detach().double().cpu() for other in images])
        return rows[rows.isfinite().all(dim=1)]


def find_scoring(rows: Tensor, seen: BeforeLast, model: Asked, classes: int, told: Scores | None) -> Scoring:
    """Find out what a model's numbers are, from what it ends in and from its answers.

    Args:
        rows: what it answered to some images, (N, K) or (N, 1).
        seen: what it called meanwhile.
        model: the model.
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
    after_sigmoid = tuple(rows.shape) in seen.shapes
    if told is not None:
        return _as_told(told, rows, model, single, classes, model.is_network and not after_sigmoid)
    few = rows.detach().double().cpu()
    few = few[few.isfinite().all(dim=1)]
    suspect = _in_unit(few) and (_add_up(few) or after_sigmoid or not model.is_network)
    many = torch.cat([few, model.rows()]) if suspect else few
    if suspect and _in_unit(many):
        # A network that answers the same to every image says nothing; a function may be as sure as that.
        if not single and _add_up(many) and (not model.is_network or bool((many != many[:1]).any())):
            return _known(True, single, classes, "they lie in [0, 1] and add up to 1", probabilities=True)
        if after_sigmoid:
            return _known(single, single, classes, "they lie in [0, 1] after a sigmoid", probabilities=True)
        if not model.is_network:
            reason = "it is one number in [0, 1]" if single else _UNKNOWN
            return Scoring(True if single else None, single, single, reason=reason)
    return _known(True, single, classes, "the network ends in neither softmax nor sigmoid")


_TOLD = "told, or said by the model's configuration"
_FACTORS = (0.0, 0.3, -1.0, 10.0, -10.0, 100.0)
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


def _as_told(told: Scores, rows: Tensor, model: Asked, single: bool, classes: int, are_logits: bool) -> Scoring:
    if told == "logits":
        return _known(True, single, classes, _TOLD)
    rows = rows.detach().double().cpu()
    if told == "sigmoid":
        in_unit = not are_logits and _in_unit(rows) and _in_unit(model.rows())
        return Scoring(single, in_unit, single, reason=_TOLD)
    if not _in_unit(rows) or not (single or _add_up(rows)):
        numbers = ", ".join(f"{number:.3g}" for number in rows[0, :5].tolist())
        raise ModelError(
            "Expected probabilities in [0, 1] that add up to 1 for each image, as told, but an image got "
            f"[{numbers}{', ...' if rows.shape[1] > 5 else ''}]. Pass scores='logits' to load_model, or "
            "scores='sigmoid' where the classes do not exclude each other."
        )
    return _known(True, single, classes, _TOLD, probabilities=True)


def _in_unit(rows: Tensor) -> bool:
    return bool(((rows >= 0) & (rows <= 1 + _TOLERANCE)).all())


def _add_up(rows: Tensor) -> bool:
    return bool(((rows.detach().double().sum(dim=1) - 1).abs() <= _TOLERANCE).all())
