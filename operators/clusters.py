"""Cluster the saliency maps of samples."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos

from . import _entries
from ._answers import Answer
from ._forms import Form
from ._operator import SaliencyOperator


class ClusterMaps(SaliencyOperator):
    """Find the kinds of maps among samples and number them."""

    title = "Cluster saliency maps"
    about = "Samples whose evidence lies alike come together"
    running = "Clustering saliency maps"

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne shows of the operator."""
        return foo.OperatorConfig(
            name="cluster_maps",
            label="Saliency: cluster maps",
            description="Find the kinds of maps among samples; the sidebar then filters by them",
            icon="bubble_chart",
            dynamic=True,
            execute_as_generator=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.MEDIUM,
        )

    def ask(self, form: Form) -> None:
        """Add the entries."""
        form.ctx.target_view()
        _entries.choose_heatmaps(form)
        form.number("max_clusters", "At most so many clusters", default=8, low=1, high=32, whole=True)
        form.switch("save", "Save each cluster as a view")

    def act(self, ctx: Any, form: Form, progress: Any) -> Answer:
        """Cluster."""
        found = fos.cluster_maps(ctx.target_view(), form["field"], max_clusters=form["max_clusters"], progress=progress)
        path = fos.store_clusters(found)
        views = [fos.save_cluster_view(cluster) for cluster in found.clusters] if form["save"] else []
        saved = f" Saved {len(views)} views." if views else ""
        text = f"{found}\nTheir numbers are in {path}.{saved}"
        return Answer(text, found.to_json() | {"path": path, "views": views})
