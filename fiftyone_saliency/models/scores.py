"""What the numbers that a model returns are: logits or probabilities, of classes that exclude each other or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fiftyone_saliency.core.errors import ArgumentError, ModelError
from fiftyone_saliency.core.types import Output, Target


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
        right: Output = "softmax" if self.exclusive else "sigmoid"
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
