"""How the labels of a field are asked for in the database and become shapes."""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import fiftyone as fo
import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.pictures import read_pixels
from fiftyone_saliency.core.region_labels import Boxes, Content, LabelMask, Points, Polygons
from fiftyone_saliency.dataset.fields import all_images, dataset_of, require_field

# The order is that in which errors name them.
PLAIN_KINDS = (fo.Polylines, fo.Segmentation, fo.Detections)
KINDS = (fo.Keypoints, *PLAIN_KINDS)
PREVIEW = "saliency_regions"
"""Marks, in the information of a field, that it was drawn from the regions of this name."""
_LISTS = {fo.Polylines: "polylines", fo.Detections: "detections", fo.Keypoints: "keypoints"}


@dataclass(frozen=True)
class LabelReader:
    """Reads one field.

    Args:
        paths: what to ask the database for.
        read: turns the values of the paths in one sample into shapes, and reads mask files; None stands for a
            sample without the label, or whose mask is missing.
        drawn: whether the shapes are drawn in the proportions of the image.
    """

    paths: tuple[str, ...]
    read: Callable[[Sequence[Any]], Content | None]
    drawn: bool


def kind_of(samples: Any, field: str) -> type:
    """Return the label type of a field that regions can be made from.

    Raises:
        UnknownNameError: if there is no such field.
        FieldError: if it is of another type.
    """
    require_field(samples, field, KINDS, "regions")
    return next(kind for kind in KINDS if issubclass(samples.get_field(field).document_type, kind))


def labels_of(samples: Any, field: str) -> list[str]:
    """Return the labels that a field holds; for a segmentation, the names of its mask targets."""
    kind = kind_of(samples, field)
    if kind is fo.Segmentation:
        return sorted(set(mask_names(samples, field).values()))
    return sorted(label for label in samples.distinct(f"{field}.{_LISTS[kind]}.label") if label is not None)


def all_labels(dataset: fo.Dataset) -> dict[str, list[str]]:
    """Return by field all that a dataset offers to make regions from; drawings of regions are left out."""
    images, drawings = all_images(dataset), previews(dataset)
    fields = dataset.get_field_schema(embedded_doc_type=KINDS)
    return {field: labels_of(images, field) for field in fields if field not in drawings}


def previews(dataset: fo.Dataset) -> dict[str, str]:
    """Return the fields that regions were drawn into to be looked at, and the name of the regions in each."""
    schema = dataset.get_field_schema(embedded_doc_type=fo.Segmentation)
    return {name: field.info[PREVIEW] for name, field in schema.items() if PREVIEW in (field.info or {})}


def mask_names(samples: Any, field: str) -> dict[int, str]:
    """Return the name of each value of a Segmentation field; a colour "#rrggbb" is the number 0xRRGGBB."""
    return {int(str(value).replace("#", "0x"), 0): str(name) for value, name in _mask_targets(samples, field).items()}


def label_reader(samples: Any, field: str, instances: bool = False, names: dict[int, str] | None = None) -> LabelReader:
    """Return the reader of a field.

    Args:
        samples: dataset or view.
        field: label field.
        instances: whether to read the masks of detections too.
        names: name of each value of a segmentation, instead of its mask targets.
    """
    kind = kind_of(samples, field)
    if kind is fo.Segmentation:
        return _mask_reader(samples, field, mask_names(samples, field) if names is None else names)
    read, paths = _LIST_READERS[kind]
    paths = ("label", *paths, *(("mask", "mask_path") if instances else ()))
    drawn = instances or kind is not fo.Detections
    return LabelReader(tuple(f"{field}.{_LISTS[kind]}.{path}" for path in paths), read, drawn)


def _mask_reader(samples: Any, field: str, names: dict[int, str]) -> LabelReader:
    colours = any(str(value).startswith("#") for value in _mask_targets(samples, field))

    def read(values: Sequence[Any]) -> Content | None:
        mask = _read_mask(*values, colours=colours)
        return None if mask is None else LabelMask(mask, names)

    return LabelReader((f"{field}.mask", f"{field}.mask_path"), read, drawn=False)


def _read_detections(values: Sequence[Any]) -> Content | None:
    labels, boxes, *masks = values
    if labels is None:
        return None
    inside = []
    if masks:
        stored = [_read_mask(mask, path) for mask, path in zip(*masks, strict=True)]
        inside = [None if mask is None else mask > 0 for mask in stored]
    return Boxes(labels, [tuple(box) for box in boxes], inside)


def _read_polylines(values: Sequence[Any]) -> Content | None:
    labels, points = values
    return None if labels is None else Polygons(labels, [outlines or [] for outlines in points])


def _read_keypoints(values: Sequence[Any]) -> Content | None:
    labels, points = values
    return None if labels is None else Points(labels, [group or [] for group in points])


_LIST_READERS = {
    fo.Detections: (_read_detections, ("bounding_box",)),
    fo.Polylines: (_read_polylines, ("points",)),
    fo.Keypoints: (_read_keypoints, ("points",)),
}


def _mask_targets(samples: Any, field: str) -> dict[Any, Any]:
    dataset: Any = dataset_of(samples)
    return dataset.mask_targets.get(field) or dataset.default_mask_targets or {}


def _read_mask(mask: Any, path: str | None, colours: bool = False) -> NDArray[Any] | None:
    """Return a mask as integers (H, W): of several channels the first, or all as a colour 0xRRGGBB."""
    if mask is None and path is not None:
        mask = read_pixels(path, cv2.IMREAD_UNCHANGED)
        # OpenCV reads blue first.
        mask = mask if mask is None or mask.ndim == 2 else mask[:, :, 2::-1]
    if mask is None:
        return None
    if mask.ndim == 3:
        red, green, blue = (mask[:, :, channel].astype(np.int32) for channel in range(3))
        mask = red << 16 | green << 8 | blue if colours else red
    return mask.astype(np.uint8) if mask.dtype == np.bool_ else mask
