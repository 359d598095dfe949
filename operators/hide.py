"""Hide a region from the model and see whether its answers change."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.models import load_registered
from fiftyone_saliency.api.regions import region_names

from . import _entries
from ._answers import Answer
from ._forms import Form
from ._operator import SaliencyOperator

_FILLS = {
    "blur": "Blur: A blur of what surrounds it",
    "mean": "Mean colour: The mean colour of the image",
    "swap": "Another sample's: The same region of another sample, of another class where that can be",
}


class HideRegion(SaliencyOperator):
    """Hide a region in each image, and areas of its size elsewhere, and count the answers that change."""

    title = "Hide a region"
    about = "Beside areas of its size elsewhere in the same image"
    running = "Hiding the region"

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne shows of the operator."""
        return foo.OperatorConfig(
            name="hide_region",
            label="Saliency: hide a region",
            description="Does the model need what is there? Count the answers that change when a region is hidden",
            icon="visibility_off",
            dynamic=True,
            execute_as_generator=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.MEDIUM,
        )

    def ask(self, form: Form) -> None:
        """Add the entries."""
        samples = form.ctx.target_view()
        run = _entries.choose_run(form, required=False)
        _entries.choose_model(form, run)
        regions = _entries.choose_regions(form)
        if regions is not None:
            form.choice("region", region_names(samples, regions), "Region")
        form.choice("fill", list(_FILLS), "Replace it by", titles=_FILLS)
        form.number("controls", "Areas elsewhere, per image", default=3, low=1, high=100, whole=True)
        _entries.choose_truth(form)
        what = "To filter by; left empty, nothing is stored"
        form.name("store_field", "Field for the results", what, required=False)

    def act(self, ctx: Any, form: Form, progress: Any) -> Answer:
        """Hide."""
        # A form names a registered model: never a file, an architecture or a hub.
        hidden = fos.hide_region(
            ctx.target_view(),
            load_registered(form["model"]),
            form["regions"],
            form["region"],
            fill=form["fill"],
            controls=form["controls"],
            gt_field=form["gt_field"],
            pred_field=None,
            store_field=form["store_field"],
            run=None if form["run"] == _entries.NO_RUN else form["run"],
            progress=progress,
        )
        return Answer(f"{form['model']}: {hidden}", hidden.to_json() | {"model": form["model"]})
