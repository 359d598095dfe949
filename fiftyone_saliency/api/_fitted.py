"""A model as it is tried with the samples at hand."""

from __future__ import annotations

from typing import Any

from fiftyone_saliency.api.models import load_model
from fiftyone_saliency.dataset.fields import dataset_of
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.runtime.loading import size_of_first

_TRIED = 32


def load_fitted(model: Any, samples: Any) -> ModelAdapter:
    """Load a model; what probes it draws an image of the samples' own size, that of the first one.

    Args:
        model: whatever `load_model` takes, or what it returned.
        samples: dataset or view of images.

    Raises:
        FieldError: if ``samples`` is no FiftyOne collection of images.
        ModelError: as `load_model` does.
    """
    dataset_of(samples)
    return load_model(model).for_size(size_of_first(samples.limit(_TRIED).values("filepath")))
