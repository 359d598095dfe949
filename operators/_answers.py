"""What an operator answers: numbers for programs, a text for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import fiftyone.operators.types as types

from fiftyone_saliency.core.escaping import markdown


def reload_dataset(ctx: Any) -> Any:
    """Let the App read the dataset again."""
    return ctx.ops.reload_dataset()


@dataclass(frozen=True)
class Answer:
    """The result of an operator.

    Args:
        text: what came out, as plain lines.
        data: the same as JSON values, such as the SDK result's ``to_json()``.
        then: what the App does afterwards; takes the execution context.
    """

    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
    then: Callable[[Any], Any] | None = reload_dataset

    def to_json(self) -> dict[str, Any]:
        """Return data and text together."""
        return {**self.data, "text": self.text}


def show(label: str, text: str) -> Any:
    """Return an output form of plain lines of text."""
    outputs = types.Object()
    for number, line in enumerate(text.splitlines()):
        outputs.str(f"line_{number}", view=types.Header(label=markdown(line)))
    return types.Property(outputs, view=types.View(label=label))


def show_failure(label: str, text: str) -> Any:
    """Return an output form that says what failed."""
    outputs = types.Object()
    outputs.view("failure", types.Error(label=f"Failed: {markdown(text)}"))
    return types.Property(outputs, view=types.View(label=label))
