"""Measure whether the pixels that the maps point at matter to the model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.models import load_registered
from fiftyone_saliency.core.faithfulness import MEASURES, Faithfulness, Measure

from . import _forms

_USUAL: tuple[Measure, ...] = ("deletion", "insertion")


class MeasureFaithfulness(foo.Operator):
    """Take away what the maps point at, and watch the model's score, beside random maps."""

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne shows of the operator."""
        return foo.OperatorConfig(
            name="measure_faithfulness",
            label="Saliency: measure faithfulness",
            description="Do the pixels matter that the maps point at? Deletion, insertion and more, beside random maps",
            icon="troubleshoot",
            dynamic=True,
            execute_as_generator=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.LOW,
        )

    def resolve_input(self, ctx: Any) -> Any:
        """Build the form."""
        inputs = types.Object()
        ctx.target_view()
        _forms.choose_model(inputs)
        _forms.choose_run(inputs, ctx)
        _forms.choose_several(inputs, "measures", MEASURES, "Measures", f"Empty: {', '.join(_USUAL)}")
        inputs.int("count", label="Samples", description="Drawn at random", default=64, min=1, required=True)
        return _forms.form(inputs, "Measure faithfulness", "Maps that do not beat random ones explain nothing")

    def execute(self, ctx: Any) -> Iterator[Any]:
        """Measure, with a progress bar."""

        def verb(progress: Any) -> str:
            params = ctx.params
            # A form names a registered model: never a file, an architecture or a hub.
            model, measures = load_registered(params["model"]), params.get("measures") or _USUAL
            count = params.get("count") or 64
            return _told(
                fos.faithfulness(
                    ctx.target_view(), model, params["run"], measures=measures, count=count, progress=progress
                )
            )

        yield from _forms.with_progress(ctx, "Measuring faithfulness", verb)


def _told(found: Faithfulness) -> str:
    """Return one sentence per measure."""
    verdicts = {True: ", better than random", False: ", no better than random", None: ""}
    parts = [f"{name} {one.summary}{verdicts[one.beats_random]}" for name, one in found.measures.items()]
    return "; ".join(parts)
