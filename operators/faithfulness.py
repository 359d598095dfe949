"""Measure whether the pixels that the maps point at matter to the model."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.models import load_registered
from fiftyone_saliency.core.faithfulness import MEASURES, Faithfulness

from . import _entries
from ._answers import Answer
from ._forms import Form
from ._operator import SaliencyOperator

_USUAL = ("deletion", "insertion")


class MeasureFaithfulness(SaliencyOperator):
    """Take away what the maps point at, and watch the model's score, beside random maps."""

    title = "Measure faithfulness"
    about = "Maps that do not beat random ones explain nothing"
    running = "Measuring faithfulness"

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

    def ask(self, form: Form) -> None:
        """Add the entries."""
        form.ctx.target_view()
        run = _entries.choose_run(form)
        _entries.choose_model(form, run)
        form.several("measures", MEASURES, "Measures", f"Empty: {', '.join(_USUAL)}")
        form.number("count", "Samples", "Drawn at random", default=64, low=1, whole=True)

    def act(self, ctx: Any, form: Form, progress: Any) -> Answer:
        """Measure."""
        # A form names a registered model: never a file, an architecture or a hub.
        found = fos.faithfulness(
            ctx.target_view(),
            load_registered(form["model"]),
            form["run"],
            measures=form["measures"] or _USUAL,
            count=form["count"],
            progress=progress,
        )
        return Answer(_told(found), found.to_json() | {"model": form["model"]})


def _told(found: Faithfulness) -> str:
    """Return one sentence per measure."""
    verdicts = {True: ", better than random", False: ", no better than random", None: ""}
    return "\n".join(f"{name} {one.summary}{verdicts[one.beats_random]}" for name, one in found.measures.items())
