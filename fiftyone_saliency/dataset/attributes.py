"""One value per sample, written beside the heatmap that it was measured on or as a field of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import fiftyone as fo

from fiftyone_saliency.dataset.fields import dataset_of

Value = float | str | None


def write_attributes(
    samples: Any, field: str, ids: Sequence[str], columns: Mapping[str, Sequence[Value]], kind: type = fo.FloatField
) -> None:
    """Write attributes of the heatmaps of the given samples, in bulk, and declare them so that the App filters by them.

    They belong to the heatmap and go with it. Samples without a heatmap are left alone.

    Args:
        samples: dataset or view that holds the samples.
        field: Heatmap field.
        ids: sample ids.
        columns: by name of the attribute, one value per id; None where it is undefined.
        kind: FiftyOne's field class of the attributes.
    """
    # Writing into a missing heatmap would leave half of one behind.
    filled = set(samples.exists(field).values("id"))
    for name, column in columns.items():
        values = {i: value for i, value in zip(ids, column, strict=True) if i in filled}
        _write(samples, f"{field}.{name}", values, kind)


def write_field(samples: Any, name: str, ids: Sequence[str], values: Sequence[Value]) -> None:
    """Write one number per sample into a field of its own, in bulk; None where it is undefined."""
    _write(samples, name, dict(zip(ids, values, strict=True)), fo.FloatField)


def _write(samples: Any, path: str, values: dict[str, Value], kind: type) -> None:
    dataset = dataset_of(samples)
    if dataset.get_field(path) is None:
        dataset.add_sample_field(path, kind)
    dataset.set_values(path, values, key_field="id")
