"""Hide a region from the model and see whether its answers change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.models import load_registered
from fiftyone_saliency.api.regions import region_names

from . import _forms

_FILLS = {
    "blur": "Blur: a blur of what surrounds it",
    "mean": "Mean colour: the mean colour of the image",
    "swap": "Another sample's: the same region of another sample, of another class where that can be",
}


class HideRegion(foo.Operator):
    """Hide a region in each image, and areas of its size elsewhere, and count the answers that change."""

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

    def resolve_input(self, ctx: Any) -> Any:
        """Build the form."""
        inputs = types.Object()
        samples = ctx.target_view()
        _forms.choose_model(inputs)
        _choose_region(inputs, ctx, samples)
        choices = types.Dropdown()
        for name, text in _FILLS.items():
            title, _, what = text.partition(": ")
            choices.add_choice(name, label=title, description=what.capitalize())
        inputs.enum("fill", list(_FILLS), label="Replace it by", default="blur", required=True, view=choices)
        inputs.int("controls", label="Areas elsewhere, per image", default=3, min=1, max=100, required=True)
        _forms.choose(
            inputs, "gt_field", _forms.label_fields(ctx, fo.Classification), "Ground truth", default="ground_truth"
        )
        inputs.str(
            "store_field", label="Field for the results", description="To filter by; left empty, nothing is stored"
        )
        return _forms.form(inputs, "Hide a region", "Beside areas of its size elsewhere in the same image")

    def execute(self, ctx: Any) -> Iterator[Any]:
        """Hide, with a progress bar."""

        def verb(progress: Any) -> str:
            hidden = fos.hide_region(ctx.target_view(), progress=progress, **_arguments(ctx.params))
            return f"{hidden.region!r} hidden: {hidden.flips} of the answers changed; elsewhere {hidden.control_flips}"

        yield from _forms.with_progress(ctx, "Hiding the region", verb)


def _choose_region(inputs: Any, ctx: Any, samples: Any) -> None:
    chosen = _forms.choose_regions(inputs, ctx)
    if chosen is None:
        return
    names = region_names(samples, chosen)
    region = _forms.choose(inputs, "region", names, "Region")
    if ctx.params.get("region") not in (None, *names):
        _forms.refuse(region, f"One of {', '.join(names)}")


def _arguments(params: dict[str, Any]) -> dict[str, Any]:
    """Turn the form's entries into arguments of the SDK's verb."""
    return {
        # A form names a registered model: never a file, an architecture or a hub.
        "model": load_registered(params["model"]),
        "regions": params["regions"],
        "region": params["region"],
        "fill": params.get("fill") or "blur",
        "controls": params.get("controls") or 3,
        "gt_field": params.get("gt_field"),
        "pred_field": None,
        "store_field": (params.get("store_field") or "").strip() or None,
    }
