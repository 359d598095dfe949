"""Dataset curation by saliency: see why an image model fails, and choose what to change in the data.

Public names load on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fiftyone_saliency._version import __version__

if TYPE_CHECKING:
    from fiftyone_saliency.api.cells import (
        confusion as confusion,
    )
    from fiftyone_saliency.api.cells import (
        delete_cell_views as delete_cell_views,
    )
    from fiftyone_saliency.api.cells import (
        save_cell_view as save_cell_view,
    )
    from fiftyone_saliency.api.cells import (
        save_cell_views as save_cell_views,
    )
    from fiftyone_saliency.api.cells import (
        tag_cell as tag_cell,
    )
    from fiftyone_saliency.api.cells import (
        untag_cell as untag_cell,
    )
    from fiftyone_saliency.api.compute import (
        compute_saliency as compute_saliency,
    )
    from fiftyone_saliency.api.compute import (
        compute_saliency_targets as compute_saliency_targets,
    )
    from fiftyone_saliency.api.display import show_heatmaps as show_heatmaps
    from fiftyone_saliency.api.measure import compare_runs as compare_runs
    from fiftyone_saliency.api.measure import region_shares as region_shares
    from fiftyone_saliency.api.models import (
        list_methods as list_methods,
    )
    from fiftyone_saliency.api.models import (
        list_models as list_models,
    )
    from fiftyone_saliency.api.models import (
        load_model as load_model,
    )
    from fiftyone_saliency.api.models import (
        register_model as register_model,
    )
    from fiftyone_saliency.api.models import (
        unregister_model as unregister_model,
    )
    from fiftyone_saliency.api.predict import evaluate as evaluate
    from fiftyone_saliency.api.predict import predict as predict
    from fiftyone_saliency.api.retrain import (
        export_for_retraining as export_for_retraining,
    )
    from fiftyone_saliency.api.retrain import (
        load_export as load_export,
    )
    from fiftyone_saliency.api.runs import (
        delete_run as delete_run,
    )
    from fiftyone_saliency.api.runs import (
        list_runs as list_runs,
    )
    from fiftyone_saliency.api.runs import (
        load_run as load_run,
    )
    from fiftyone_saliency.core.errors import SaliencyError as SaliencyError
    from fiftyone_saliency.dataset.store import read_map as read_map

_HOME = {
    "SaliencyError": "core.errors",
    "compare_runs": "api.measure",
    "compute_saliency": "api.compute",
    "compute_saliency_targets": "api.compute",
    "confusion": "api.cells",
    "delete_cell_views": "api.cells",
    "delete_run": "api.runs",
    "evaluate": "api.predict",
    "export_for_retraining": "api.retrain",
    "list_methods": "api.models",
    "list_models": "api.models",
    "list_runs": "api.runs",
    "load_export": "api.retrain",
    "load_model": "api.models",
    "load_run": "api.runs",
    "predict": "api.predict",
    "read_map": "dataset.store",
    "region_shares": "api.measure",
    "register_model": "api.models",
    "save_cell_view": "api.cells",
    "save_cell_views": "api.cells",
    "show_heatmaps": "api.display",
    "tag_cell": "api.cells",
    "unregister_model": "api.models",
    "untag_cell": "api.cells",
}
__all__ = ["__version__", *_HOME]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
