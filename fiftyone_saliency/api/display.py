"""How the App draws a dataset's heatmaps."""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fiftyone as fo

from fiftyone_saliency.core.colours import HEATMAP
from fiftyone_saliency.dataset.fields import dataset_of, fields_of, require_field


def show_heatmaps(samples: Any, *, fields: Sequence[str] | None = None, labels: Sequence[str] = ()) -> None:
    """Switch heatmaps on in the App and give them colours that can be told from the picture.

    Strength of evidence is drawn as opacity of one warm colour, so that the picture stays visible where there
    is none.

    Args:
        samples: dataset or view.
        fields: Heatmap fields to switch on; all of them by default.
        labels: further fields to switch on, such as the true and the predicted labels.

    Raises:
        UnknownNameError: if a field does not exist.
        FieldError: if one of ``fields`` is no Heatmap field.
    """
    dataset = dataset_of(samples)
    chosen = fields_of(dataset, fo.Heatmap) if fields is None else list(fields)
    for name in chosen:
        require_field(dataset, name, fo.Heatmap, "fields")
    dataset.app_config.active_fields = fo.ActiveFields(paths=[*labels, *chosen])
    dataset.app_config.color_scheme = color_scheme(fields_of(dataset, fo.Heatmap))
    dataset.save()


def color_scheme(fields: Sequence[str]) -> fo.ColorScheme:
    """Return the colours that heatmaps are drawn in."""
    return fo.ColorScheme(
        color_by="field",
        opacity=0.75,
        fields=[{"path": name, "fieldColor": HEATMAP} for name in fields],
    )
