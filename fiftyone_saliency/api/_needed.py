"""Which answers need which region: asked of the model, for the limits that are about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from fiftyone_saliency.api._examples import load_run_of
from fiftyone_saliency.api._progress import Progress
from fiftyone_saliency.api.hide import hide_region
from fiftyone_saliency.api.models import load_model
from fiftyone_saliency.core.errors import ArgumentError, UnknownNameError
from fiftyone_saliency.core.hiding import HiddenRegion
from fiftyone_saliency.core.reasons import Reasons


def hide_needed(
    samples: Any,
    field: str,
    reasons: Reasons,
    wanted: Iterable[str],
    known: Mapping[str, HiddenRegion],
    model: Any,
    progress: Progress,
) -> dict[str, HiddenRegion]:
    """Return what hiding each region does: what is known, or else what the model says.

    Args:
        samples: dataset or view.
        field: Heatmap field, whose run names the model that it was computed with.
        reasons: the reasons of the same samples.
        wanted: the regions.
        known: what is known already, by region.
        model: whatever `load_model` takes, or None.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.

    Raises:
        ArgumentError: if a region was hidden in other samples, or there is neither a result nor a model.
        ModelError: if the model is not the one that computed the maps.
    """
    ids, adapter = list(reasons.evidence.ids), None
    hidden: dict[str, HiddenRegion] = {}
    for name in wanted:
        if name in known:
            if list(known[name].ids) != ids:
                raise ArgumentError(
                    f"Expected `hidden` to be of the same samples, but {name!r} was hidden in {len(known[name])} "
                    "samples that are others. Call hide_region on these samples, or pass the model."
                )
            hidden[name] = known[name]
            continue
        adapter = adapter or _load(samples, field, name, model)
        asked = {"gt_field": None, "pred_field": None, "progress": progress}
        hidden[name] = hide_region(samples, adapter, reasons.evidence.regions, name, **asked)
    return hidden


def _load(samples: Any, field: str, region: str, model: Any) -> Any:
    if model is None:
        raise ArgumentError(
            f"Expected `model` for min_needed={{{region!r}: ...}}, but got None. Pass the model that computed the "
            "maps, or what hide_region returned as `hidden`."
        )
    adapter = load_model(model)
    # Of maps that belong to no run nobody knows the model.
    with suppress(UnknownNameError):
        load_run_of(samples, field, adapter)
    return adapter
