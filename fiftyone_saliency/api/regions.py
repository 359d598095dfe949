"""Regions that a dataset defines: named parts of its images, written as text over the labels that samples carry."""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import fiftyone as fo
import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.api._progress import Progress, track
from fiftyone_saliency.core.errors import FieldError, UnknownNameError
from fiftyone_saliency.core.regions import BACKGROUND, Weights
from fiftyone_saliency.dataset.fields import check_name, count_samples, fresh_dataset_of, require_samples
from fiftyone_saliency.dataset.region_labels import PLAIN_KINDS, PREVIEW, labels_of, previews
from fiftyone_saliency.dataset.region_specs import (
    check_regions,
    check_regions_name,
    find_regions,
    store_regions,
    stored_regions,
)
from fiftyone_saliency.dataset.regions import drawn_regions

PREVIEW_SIZE = 256
MAX_SHOWN = 255
_BATCH = 256


def define_regions(dataset: Any, name: str, regions: Mapping[str, str]) -> None:
    """Define regions by expressions over the dataset's labels, and store them under a name on the dataset.

    Wherever this package takes ``regions``, it takes that name; a sample's regions follow its labels as they are
    then. ::

        fos.define_regions(dataset, "outfit", {
            "head": "top(people.person, 0.3)",
            "uniform": "people.person - head",
            "background": "rest",
        })

    ==============================  ==================================================================================
    ``field``                       everything that is labelled in a Detections, Polylines or Segmentation field
    ``field.label``                 what has this label; ``field["two words"]`` where the label is no plain word
    ``name``                        a region that stands before
    ``rest``                        what no region covers that does not itself use ``rest``
    ``a | b``, ``a & b``, ``a - b`` union, intersection, difference; ``-`` binds before ``&`` before ``|``
    ``~a``                          complement
    ``top(a, 0.3)``                 the top 30 % of the box around each instance; also ``bottom``, ``left``, ``right``
    ``grow(a, 0.05)``               dilation by a disc whose radius is 5 % of the image's longer side; Keypoints, which
                                    have no area, are used grown
    ``instances(a)``                the masks of detections where they have one, else their boxes
    ``border(0.1)``                 10 % of the image's width or height along each of its four edges
    ==============================  ==================================================================================

    A region whose label a sample lacks altogether (None) is undefined there. One whose label is present but holds
    no such instance is empty: its area is 0, and its share of the evidence undefined.

    Args:
        dataset: dataset, or a view on it.
        name: name of the whole; an earlier definition of this name is replaced.
        regions: expression of each region, in order.

    Raises:
        ArgumentError: if an expression cannot be read.
        UnknownNameError: if a field, label or function does not exist; the nearest are offered.
        FieldError: if a name is not usable or is a field's, or a field is of the wrong type.
    """
    dataset = fresh_dataset_of(dataset)
    check_regions_name(dataset, name)
    check_regions(dataset, regions)
    store_regions(dataset, stored_regions(dataset) | {name: dict(regions)})


def list_regions(dataset: Any) -> dict[str, dict[str, str]]:
    """Return the regions that a dataset defines: by name, the expression of each region, in order."""
    return stored_regions(fresh_dataset_of(dataset))


def region_choices(dataset: Any) -> list[str]:
    """Return all that ``regions`` may name: regions that the dataset defines, and fields whose labels are regions."""
    fields = dataset.get_field_schema(embedded_doc_type=PLAIN_KINDS)
    return [*list_regions(dataset), *(field for field in fields if field not in previews(dataset))]


def region_names(samples: Any, regions: str) -> list[str]:
    """Return the names of regions before anything is measured.

    Raises:
        UnknownNameError: if there are no such regions.
        FieldError: if a field is of the wrong type.
    """
    return find_regions(samples, regions).names or sorted({BACKGROUND, *labels_of(samples, regions)})


def delete_regions(dataset: Any, name: str) -> None:
    """Forget regions that were defined and delete their previews; labels, maps and what was measured stay.

    Raises:
        UnknownNameError: if the dataset defines no regions of this name.
    """
    dataset = fresh_dataset_of(dataset)
    stored = stored_regions(dataset)
    if name not in stored:
        raise UnknownNameError("name of regions", name, stored)
    store_regions(dataset, {other: regions for other, regions in stored.items() if other != name})
    for field, shown in previews(dataset).items():
        if shown == name:
            delete_region_preview(dataset, field)


def show_regions(samples: Any, name: str, field: str = "regions_preview", *, progress: Progress = False) -> int:
    """Write regions as a Segmentation field, so that the App draws them over the images.

    It is for looking at: a mask is at most 256 pixels long, a pixel belongs to a region that covers at least half
    of it, and where regions overlap the later one is drawn. `delete_region_preview` deletes the field.

    Args:
        samples: dataset or view; other samples keep what they have.
        name: name of regions that the dataset defines, or a Detections or Polylines field.
        field: Segmentation field that takes the masks.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.

    Returns:
        Number of samples that got a mask; the others lack every label, or their image cannot be read.

    Raises:
        UnknownNameError: if there are no such regions.
        FieldError: if ``field`` was not written by this function, or ``name`` is a Segmentation field already.
    """
    dataset = require_samples(samples)
    names = find_regions(samples, name).names
    if names is None or len(names) > MAX_SHOWN:
        raise FieldError(
            f"Expected `name` to stand for 1 to {MAX_SHOWN} regions that the dataset defines, but got {name!r}. "
            "The App draws a Segmentation field as it is."
        )
    _prepare_preview(dataset, field, name, names)
    total, shown = count_samples(samples), 0
    found = drawn_regions(samples, name, _preview_size, lambda rows: track(rows, total, progress, size=lambda _: 1))
    for batch in _batched(found, _BATCH):
        masks = {sample_id: _draw(weights) for sample_id, weights in batch}
        labels = {sample_id: mask if mask is None else fo.Segmentation(mask=mask) for sample_id, mask in masks.items()}
        dataset.set_values(field, labels, key_field="id")
        shown += sum(mask is not None for mask in masks.values())
    return shown


def delete_region_preview(samples: Any, field: str = "regions_preview") -> None:
    """Delete a field that `show_regions` wrote.

    Raises:
        UnknownNameError: if there is no such field.
        FieldError: if it was not written by `show_regions`.
    """
    dataset: Any = fresh_dataset_of(samples)
    drawn = previews(dataset)
    if dataset.get_field(field) is None:
        raise UnknownNameError("preview of regions", field, drawn)
    if field not in drawn:
        raise FieldError(f"Expected `field` to be a preview of regions, but {field!r} holds labels. Name a preview.")
    dataset.delete_sample_field(field)
    dataset.mask_targets = {name: targets for name, targets in dataset.mask_targets.items() if name != field}
    active = dataset.app_config.active_fields
    if active is not None:
        active.paths = [path for path in active.paths if path != field]
    dataset.save()


def _prepare_preview(dataset: Any, field: str, name: str, names: list[str]) -> None:
    check_name(field, "field")
    if dataset.get_field(field) is None:
        dataset.add_sample_field(field, fo.EmbeddedDocumentField, embedded_doc_type=fo.Segmentation)
    elif field not in previews(dataset):
        raise FieldError(f"Expected `field` to be new or a preview, but {field!r} holds labels. Choose another name.")
    mark = dataset.get_field(field)
    mark.info = {PREVIEW: name}
    mark.save()
    dataset.mask_targets = dict(dataset.mask_targets) | {field: dict(enumerate(names, start=1))}
    active = dataset.app_config.active_fields
    if active is not None and field not in active.paths:
        active.paths.append(field)
    dataset.save()


def _preview_size(image: tuple[int, int] | None) -> tuple[int, int] | None:
    if image is None:
        return None
    scale = min(1, PREVIEW_SIZE / max(image))
    return max(1, round(image[0] * scale)), max(1, round(image[1] * scale))


def _draw(weights: Weights) -> NDArray[np.uint8] | None:
    defined = {value: covered for value, covered in enumerate(weights.values(), start=1) if covered is not None}
    if not defined:
        return None
    mask = np.zeros(next(iter(defined.values())).shape, np.uint8)
    for value, covered in defined.items():
        mask[covered >= 0.5] = value
    return mask


def _batched(rows: Iterator[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
