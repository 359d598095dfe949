"""Check collections and fields before anything is computed or written."""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

from typing import Any

import fiftyone as fo

from fiftyone_saliency.core.errors import FieldError, UnknownNameError
from fiftyone_saliency.dataset.media import why_no_images


def dataset_of(samples: Any) -> fo.Dataset:
    """Return the dataset that a dataset or view belongs to.

    Raises:
        FieldError: if ``samples`` is no FiftyOne collection of images.
    """
    if not isinstance(samples, fo.core.collections.SampleCollection):
        raise FieldError(
            f"Expected `samples` to be a FiftyOne dataset or view, but got {type(samples).__name__}. "
            "Load one with fiftyone.load_dataset(name)."
        )
    problem = why_no_images(samples)
    if problem is not None:
        raise FieldError(problem)
    return samples if isinstance(samples, fo.Dataset) else samples._root_dataset


def fresh_dataset_of(samples: Any) -> fo.Dataset:
    """Return the dataset of a collection as the database has it now: the App's server may have changed it."""
    dataset = dataset_of(samples)
    dataset.reload()
    return dataset


def require_samples(samples: Any) -> fo.Dataset:
    """Return the dataset of a collection that holds at least one sample.

    Raises:
        FieldError: if it holds none.
    """
    dataset = dataset_of(samples)
    if not has_samples(samples):
        raise FieldError(
            f"Expected `samples` to hold at least one sample, but the view on {dataset.name!r} is empty. "
            "Clear or widen its filters."
        )
    return dataset


def has_samples(samples: Any) -> bool:
    """Return whether a collection holds any sample.

    Not ``len(dataset)``: that is MongoDB's estimate, which is 0 after a database was killed, whatever is in it.
    """
    return bool(samples.limit(1).values("id"))


def count_samples(samples: Any) -> int:
    """Return how many samples a collection holds, counted and not estimated; see `has_samples`."""
    return int(samples.count("id"))


def all_images(dataset: fo.Dataset) -> Any:
    """Return all image samples of a dataset: a grouped one shows only its active slice by itself."""
    return dataset.select_group_slices(media_type="image") if dataset.media_type == fo.core.media.GROUP else dataset


def check_name(name: Any, argument: str) -> None:
    """Raise unless ``name`` can name a field.

    Raises:
        FieldError: if it cannot.
    """
    if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
        raise FieldError(f"Expected `{argument}` to be a field name like 'saliency', but got {name!r}.")


def fields_of(samples: Any, *types: type) -> list[str]:
    """Return the names of the sample fields of the given label types, in the order of the schema."""
    schema = samples.get_field_schema(embedded_doc_type=types)
    return list(schema)


def require_field(samples: Any, name: Any, types: type | tuple[type, ...], argument: str) -> None:
    """Raise unless the collection has a field of one of the given label types.

    Raises:
        UnknownNameError: if there is no such field; the nearest fields of the type are offered.
        FieldError: if the field is of another type.
    """
    types = types if isinstance(types, tuple) else (types,)
    wanted = " or ".join(t.__name__ for t in types)
    field = samples.get_field(name) if isinstance(name, str) and name else None
    if field is None:
        raise UnknownNameError(
            f"{wanted} field for `{argument}`",
            name,
            fields_of(samples, *types),
        )
    document = getattr(field, "document_type", None)
    if document is None or not issubclass(document, types):
        got = document.__name__ if document is not None else type(field).__name__
        raise FieldError(f"Expected `{argument}` to name a {wanted} field, but {name!r} is a {got} field.")


def heatmap_of(sample: Any, name: str) -> Any:
    """Return a sample's heatmap, or None where it has none.

    Raises:
        FieldError: if the sample has no such field, its view leaves it out, or it is no Heatmap field.
    """
    try:
        value = sample[name]
    except KeyError as error:
        raise FieldError(
            f"Expected the sample to have the Heatmap field {name!r}, but it has none, or its view leaves it out. Pass "
            "a sample of the dataset, or of a view with the field."
        ) from error
    if value is not None and not isinstance(value, fo.Heatmap):
        raise FieldError(f"Expected {name!r} to be a Heatmap field, but it is a {type(value).__name__}.")
    return value


def with_all_fields(samples: Any) -> Any:
    """Return a collection without its selections of fields: nothing can be written beside those."""
    if isinstance(samples, fo.Dataset):
        return samples
    view: Any = samples._dataset.view()
    for stage in samples._stages:
        if not isinstance(stage, fo.SelectFields):
            view = view.add_stage(stage)
    return view
