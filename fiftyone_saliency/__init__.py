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
    from fiftyone_saliency.api.clusters import cluster_maps as cluster_maps
    from fiftyone_saliency.api.clusters import delete_cluster_views as delete_cluster_views
    from fiftyone_saliency.api.clusters import mean_map as mean_map
    from fiftyone_saliency.api.clusters import save_cluster_view as save_cluster_view
    from fiftyone_saliency.api.clusters import store_clusters as store_clusters
    from fiftyone_saliency.api.clusters import tag_cluster as tag_cluster
    from fiftyone_saliency.api.clusters import untag_cluster as untag_cluster
    from fiftyone_saliency.api.compare import compare_runs as compare_runs
    from fiftyone_saliency.api.compute import (
        compute_saliency as compute_saliency,
    )
    from fiftyone_saliency.api.compute import (
        compute_saliency_targets as compute_saliency_targets,
    )
    from fiftyone_saliency.api.display import show_heatmaps as show_heatmaps
    from fiftyone_saliency.api.embed import embed as embed
    from fiftyone_saliency.api.enrich import plan_enrichment as plan_enrichment
    from fiftyone_saliency.api.faithfulness import faithfulness as faithfulness
    from fiftyone_saliency.api.gate import gate as gate
    from fiftyone_saliency.api.hide import hide_region as hide_region
    from fiftyone_saliency.api.measure import region_shares as region_shares
    from fiftyone_saliency.api.measures import list_measures as list_measures
    from fiftyone_saliency.api.measures import measure as measure
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
    from fiftyone_saliency.api.reasons import reasons as reasons
    from fiftyone_saliency.api.regions import define_regions as define_regions
    from fiftyone_saliency.api.regions import delete_region_preview as delete_region_preview
    from fiftyone_saliency.api.regions import delete_regions as delete_regions
    from fiftyone_saliency.api.regions import list_regions as list_regions
    from fiftyone_saliency.api.regions import show_regions as show_regions
    from fiftyone_saliency.api.report import report as report
    from fiftyone_saliency.api.retrain import (
        export_for_retraining as export_for_retraining,
    )
    from fiftyone_saliency.api.retrain import (
        load_export as load_export,
    )
    from fiftyone_saliency.api.runs import (
        clean_up as clean_up,
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
    from fiftyone_saliency.api.second_pass import second_pass as second_pass
    from fiftyone_saliency.api.side_by_side import common_scale as common_scale
    from fiftyone_saliency.api.side_by_side import pairs_picture as pairs_picture
    from fiftyone_saliency.api.trust import check_trust as check_trust
    from fiftyone_saliency.core.errors import SaliencyError as SaliencyError
    from fiftyone_saliency.core.types import Placement as Placement
    from fiftyone_saliency.dataset.store import read_map as read_map

_HOME = {
    "Placement": "core.types",
    "SaliencyError": "core.errors",
    "check_trust": "api.trust",
    "clean_up": "api.runs",
    "cluster_maps": "api.clusters",
    "common_scale": "api.side_by_side",
    "compare_runs": "api.compare",
    "compute_saliency": "api.compute",
    "compute_saliency_targets": "api.compute",
    "confusion": "api.cells",
    "define_regions": "api.regions",
    "delete_cell_views": "api.cells",
    "delete_cluster_views": "api.clusters",
    "delete_region_preview": "api.regions",
    "delete_regions": "api.regions",
    "delete_run": "api.runs",
    "embed": "api.embed",
    "evaluate": "api.predict",
    "export_for_retraining": "api.retrain",
    "faithfulness": "api.faithfulness",
    "gate": "api.gate",
    "hide_region": "api.hide",
    "list_measures": "api.measures",
    "list_methods": "api.models",
    "list_models": "api.models",
    "list_regions": "api.regions",
    "list_runs": "api.runs",
    "load_export": "api.retrain",
    "load_model": "api.models",
    "load_run": "api.runs",
    "mean_map": "api.clusters",
    "measure": "api.measures",
    "pairs_picture": "api.side_by_side",
    "plan_enrichment": "api.enrich",
    "predict": "api.predict",
    "read_map": "dataset.store",
    "reasons": "api.reasons",
    "region_shares": "api.measure",
    "register_model": "api.models",
    "report": "api.report",
    "save_cell_view": "api.cells",
    "save_cell_views": "api.cells",
    "save_cluster_view": "api.clusters",
    "second_pass": "api.second_pass",
    "show_heatmaps": "api.display",
    "show_regions": "api.regions",
    "store_clusters": "api.clusters",
    "tag_cell": "api.cells",
    "tag_cluster": "api.clusters",
    "unregister_model": "api.models",
    "untag_cell": "api.cells",
    "untag_cluster": "api.clusters",
}
__all__ = ["__version__", *_HOME]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
