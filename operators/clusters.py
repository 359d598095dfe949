"""Cluster the saliency maps of samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos

from . import _forms


class ClusterMaps(foo.Operator):
    """Find the kinds of maps among samples and number them."""

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
            allow_immediate_execution=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.MEDIUM,
        )

    def resolve_input(self, ctx: Any) -> Any:
        """Build the form."""
        inputs = types.Object()
        ctx.target_view()
        _forms.choose_heatmaps(inputs, ctx)
        inputs.int("max_clusters", label="At most so many clusters", default=8, min=1, max=32, required=True)
        inputs.bool("save", label="Save each cluster as a view", default=False, view=types.SwitchView())
        return _forms.form(inputs, "Cluster saliency maps", "Samples whose evidence lies alike come together")

    def execute(self, ctx: Any) -> Iterator[Any]:
        """Cluster, with a progress bar."""

        def verb(progress: Any) -> str:
            found = fos.cluster_maps(
                ctx.target_view(), ctx.params["field"], max_clusters=ctx.params["max_clusters"], progress=progress
            )
            path = fos.store_clusters(found)
            saved = [fos.save_cluster_view(cluster) for cluster in found.clusters] if ctx.params.get("save") else []
            return f"{found.reason} Their numbers are in {path}." + (f" Saved {len(saved)} views." if saved else "")

        yield from _forms.with_progress(ctx, "Clustering saliency maps", verb)
