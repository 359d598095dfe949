"""Region specifications stored on a dataset, and where the regions of a collection come from."""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fiftyone as fo
import numpy as np

from fiftyone_saliency.core.errors import FieldError, UnknownNameError
from fiftyone_saliency.core.region_labels import Content, LabelMask
from fiftyone_saliency.core.region_spec import BACKGROUND, Instances, Labelled, Part, RegionSpec, plain_regions, walk
from fiftyone_saliency.core.region_text import parse_regions, write_label
from fiftyone_saliency.core.regions import Regions, draw_regions
from fiftyone_saliency.dataset.fields import all_images, check_name, dataset_of, fields_of
from fiftyone_saliency.dataset.region_labels import (
    KINDS,
    PLAIN_KINDS,
    LabelReader,
    kind_of,
    label_reader,
    labels_of,
    mask_names,
)

_INFO = "saliency_regions"
_MAX_NAMED = 1 << 16
"""Masks of 8 and 16 bits are counted value by value, which is faster than sorting them."""


@dataclass(frozen=True, eq=False)
class RegionSource:
    """Finds the regions of a sample.

    Args:
        spec: the regions; None where they are the values of each sample's own mask.
        readers: reader of each field.
    """

    spec: RegionSpec | None
    readers: Mapping[str, LabelReader]

    @property
    def names(self) -> list[str] | None:
        """The regions' names, in order; None where they depend on the sample."""
        return None if self.spec is None else list(self.spec.regions)

    @property
    def paths(self) -> list[str]:
        """What to ask the database for, in the order in which `draw` takes the values."""
        return [path for reader in self.readers.values() for path in reader.paths]

    @property
    def drawn(self) -> bool:
        """Whether the proportions of the image matter."""
        return self.spec is not None and (self.spec.grows or any(reader.drawn for reader in self.readers.values()))

    def draw(self, values: Sequence[Any], image: tuple[int, int]) -> Regions | None:
        """Find the regions of one sample; reads mask files.

        Args:
            values: values of `paths`.
            image: height and width of the image, of which only the ratio counts.

        Returns:
            The regions; None where their names depend on a mask that is missing.
        """
        left = list(values)
        contents: dict[str, Content | None] = {}
        for field, reader in self.readers.items():
            contents[field] = reader.read(left[: len(reader.paths)])
            del left[: len(reader.paths)]
        spec = self.spec or _spec_of_mask(contents)
        return None if spec is None else draw_regions(spec, contents, image)


def find_regions(samples: Any, regions: str) -> RegionSource:
    """Return where the regions of a collection come from.

    Args:
        samples: dataset or view.
        regions: name of a stored specification, or of a Detections, Polylines or Segmentation field.

    Raises:
        UnknownNameError: if there is no such specification or field, or a specification's field is gone.
        FieldError: if a field is of another type.
    """
    stored = stored_regions(dataset_of(samples))
    if regions in stored:
        spec = parse_regions(stored[regions])
        check_kinds(samples, spec)
        return _source(samples, spec)
    if not isinstance(regions, str) or not regions or samples.get_field(regions) is None:
        known = [*stored, *fields_of(samples, *PLAIN_KINDS)]
        raise UnknownNameError("label field or region specification for `regions`", regions, known)
    kind = kind_of(samples, regions)
    if kind is fo.Keypoints:
        raise FieldError(
            f"Expected `regions` to name labels with an area, but {regions!r} is a Keypoints field. "
            f"Say how large a point is: define_regions(dataset, 'points', {{'point': 'grow({regions}, 0.03)'}})."
        )
    if kind is fo.Segmentation:
        names = mask_names(samples, regions)
        return RegionSource(None, {regions: label_reader(samples, regions, names={0: BACKGROUND} | names)})
    return _source(samples, plain_regions(regions, labels_of(samples, regions)))


def stored_regions(dataset: fo.Dataset) -> dict[str, dict[str, str]]:
    """Return the stored specifications: expression by region, by name."""
    info: Any = dataset.info
    return {name: dict(regions) for name, regions in info.get(_INFO, {}).items()}


def store_regions(dataset: fo.Dataset, stored: Mapping[str, Mapping[str, str]]) -> None:
    """Replace the stored specifications."""
    info: Any = dataset.info
    info[_INFO] = {name: dict(regions) for name, regions in stored.items()}
    dataset.save()


def check_regions_name(dataset: fo.Dataset, name: str) -> None:
    """Raise unless regions can be called so.

    Raises:
        FieldError: if it is no name like a field's, or is a field's.
    """
    check_name(name, "name")
    if dataset.get_field(name) is not None:
        raise FieldError(f"Expected `name` to be no field of the dataset, but {name!r} is one. Choose another name.")


def check_regions(dataset: fo.Dataset, regions: Mapping[str, str]) -> RegionSpec:
    """Read a specification and check its fields and labels against a dataset.

    Raises:
        ArgumentError: if an expression cannot be read.
        UnknownNameError: if a field or label does not exist; the nearest are offered.
        FieldError: if a field is of another type, or a region has the name of a field.
    """
    spec = parse_regions(regions)
    taken = sorted({*regions} & {*fields_of(dataset, *KINDS)})
    if taken:
        raise FieldError(
            f"Expected regions that are not called as a field, but {taken[0]!r} is one. Choose another name."
        )
    check_kinds(dataset, spec)
    known = {field: labels_of(all_images(dataset), field) for field in {label.field for label in spec.labels}}
    for field, label in sorted((one.field, one.label) for one in spec.labels if one.label is not None):
        number = kind_of(dataset, field) is fo.Segmentation and label.isdecimal()
        if label not in known[field] and not number:
            raise UnknownNameError(f"label in field {field!r}", label, known[field])
    return spec


def check_kinds(samples: Any, spec: RegionSpec) -> None:
    """Raise unless each field of a specification exists and is of a type that its expressions can use.

    Raises:
        UnknownNameError: if a field does not exist.
        FieldError: if it is of another type.
    """
    for field in sorted({label.field for label in spec.labels}):
        if samples.get_field(field) is None:
            earlier = [name for name in spec.regions if name.isidentifier()]
            kind = "label field or region before it for `regions`"
            raise UnknownNameError(kind, field, [*fields_of(samples, *KINDS), *earlier])
        kind_of(samples, field)
    for leaf in spec.leaves:
        _check_leaf(samples, leaf)
    for expression in spec.regions.values():
        for bare in walk(expression, grown=False):
            if isinstance(bare, Labelled) and kind_of(samples, bare.field) is fo.Keypoints:
                raise FieldError(
                    f"Expected an area, but {bare.field!r} is a Keypoints field. Say how large a point is, such as "
                    f"grow({write_label(bare.field, bare.label)}, 0.03)."
                )


def _check_leaf(samples: Any, leaf: Labelled | Part | Instances) -> None:
    if isinstance(leaf, Labelled):
        return
    inner = leaf.of
    while isinstance(inner, Part):
        inner = inner.of
    kind, text = kind_of(samples, inner.field), write_label(inner.field, inner.label)
    if isinstance(leaf, Instances) and kind is not fo.Detections:
        raise FieldError(
            f"Expected instances({text}) to take a Detections field, but {inner.field!r} is a {kind.__name__} "
            f"field. Write {text}."
        )
    if isinstance(leaf, Part) and kind is fo.Segmentation:
        raise FieldError(
            f"Expected {leaf.side}({text}, {leaf.share:g}) to take labels with boxes, but {inner.field!r} is a "
            "Segmentation field. Take a Detections, Polylines or Keypoints field."
        )


def _source(samples: Any, spec: RegionSpec) -> RegionSource:
    masked = {leaf.of.field for leaf in spec.leaves if isinstance(leaf, Instances)}
    fields = sorted({label.field for label in spec.labels})
    return RegionSource(spec, {field: label_reader(samples, field, field in masked) for field in fields})


def _spec_of_mask(contents: Mapping[str, Content | None]) -> RegionSpec | None:
    """Make each value of a mask a region, besides those that have a name."""
    ((field, content),) = contents.items()
    if not isinstance(content, LabelMask):
        return None
    mask = content.mask
    counted = mask.dtype.kind == "u" and np.iinfo(mask.dtype).max < _MAX_NAMED
    present = np.flatnonzero(np.bincount(mask.ravel())) if counted else np.unique(mask)
    values = {*content.names, *present.tolist()}
    names = {content.names.get(value, str(value)) for value in values}
    return RegionSpec({name: Labelled(field, name) for name in sorted(names)})
