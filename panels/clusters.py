"""The panel "Saliency clusters": the kinds of maps in view, and the way from a kind to its pictures."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import fiftyone as fo
import fiftyone.operators as foo

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import SaliencyError
from fiftyone_saliency.dataset.clusters import MapCluster, MapClusters

from . import _cluster_layout as _layout
from ._pictures import Picture, shrink

_MOST = 8
_KNOWN: OrderedDict[str, _Found] = OrderedDict()
_LOCK = threading.Lock()


@dataclass(frozen=True, eq=False)
class _Found:
    """What the server remembers: the App would post it back with every event.

    Args:
        clusters: the clusters.
        whole: picture of the mean map of all samples.
        pictures: the same for each cluster.
        summary: one line about all samples.
    """

    clusters: MapClusters
    whole: Picture
    pictures: list[Picture]
    summary: str


class SaliencyClusters(foo.Panel):
    """Mean maps of the samples in view, and of the kinds of maps among them."""

    @property
    def config(self) -> foo.PanelConfig:
        """What FiftyOne shows of the panel."""
        return foo.PanelConfig(
            name="saliency_clusters",
            label="Saliency clusters",
            icon="bubble_chart",
            category=foo.Categories.ANALYZE,
            help_markdown="Finds the kinds of maps among the samples in view, such as of one confusion cell.",
            surfaces="grid",
        )

    def on_load(self, ctx: Any) -> None:
        """Choose the field that is likely to be meant."""
        fields = _fields(ctx)
        current = ctx.panel.state.get(_layout.FIELD)
        usual = next((name for name in (current, "saliency", *fields) if name in fields), None)
        ctx.panel.set_state(_layout.FIELD, usual)

    def on_choose(self, ctx: Any) -> None:
        """Keep what a control holds; setting what is there already would fire this event again, for ever."""
        path, value = ctx.params["path"], ctx.params["value"]
        if ctx.panel.state.get(path) != value:
            ctx.panel.set_state(path, value)

    def on_find(self, ctx: Any) -> None:
        """Cluster the maps of the samples in view."""
        state = ctx.panel.state
        state.problem = state.key = state.shown = None
        try:
            found = _find(ctx.view, state.get(_layout.FIELD))
        except SaliencyError as error:
            state.problem = str(error)
            return
        state.key = uuid4().hex
        with _LOCK:
            _KNOWN[state.key] = found
            while len(_KNOWN) > _MOST:
                _KNOWN.popitem(last=False)

    def on_show(self, ctx: Any) -> None:
        """Show the samples of a cluster."""
        cluster = _cluster(ctx)
        if cluster is not None:
            ctx.panel.state.shown = cluster.number
            ctx.ops.set_view(view=cluster.view())
            labels = [name for name in ("ground_truth", "predictions") if name in _fields(ctx, fo.Classification)]
            ctx.ops.set_active_fields([*labels, cluster.field])

    def on_all(self, ctx: Any) -> None:
        """Show all samples that were clustered."""
        found = _KNOWN.get(ctx.panel.state.key)
        ctx.panel.state.shown = None
        if found is not None:
            ctx.ops.set_view(view=found.clusters.samples.view())

    def on_tag(self, ctx: Any) -> None:
        """Tag the samples of a cluster."""
        tag = _tag(ctx)
        _act(ctx, lambda cluster: f"Tagged {fos.tag_cluster(cluster, tag)} samples “{tag}”")

    def on_untag(self, ctx: Any) -> None:
        """Take the tag from the samples of a cluster."""
        tag = _tag(ctx)
        _act(ctx, lambda cluster: f"Took “{tag}” from {fos.untag_cluster(cluster, tag)} samples")

    def on_save(self, ctx: Any) -> None:
        """Save a cluster as a view."""
        _act(ctx, lambda cluster: f"Saved view “{fos.save_cluster_view(cluster)}”")
        ctx.ops.reload_dataset()

    def render(self, ctx: Any) -> Any:
        """Draw the panel from its state and what the server remembers."""
        found = _KNOWN.get(ctx.panel.state.key)
        cards = []
        if found is not None:
            cards = list(zip(found.clusters.clusters, found.pictures, strict=True))
        whole = None if found is None else (found.whole, found.summary)
        return _layout.draw(self, ctx.panel.state, _fields(ctx), whole, cards)


def _find(view: Any, field: str) -> _Found:
    found, whole = fos.cluster_maps(view, field), fos.mean_map(view, field)
    pictures = [shrink(cluster.mean.picture()) for cluster in found.clusters]
    return _Found(found, shrink(whole.picture()), pictures, _layout.summary(found))


def _cluster(ctx: Any) -> MapCluster | None:
    """Return the cluster whose button was pressed; after a restart of the server, none is known."""
    found = _KNOWN.get(ctx.panel.state.key)
    if found is None:
        ctx.ops.notify("The server has forgotten these clusters: find them again", variant="warning")
        return None
    return found.clusters.clusters[ctx.params["number"] - 1]


def _act(ctx: Any, verb: Callable[[MapCluster], str]) -> None:
    """Do something with a cluster and say what was done, or why not."""
    cluster = _cluster(ctx)
    if cluster is None:
        return
    try:
        ctx.ops.notify(verb(cluster), variant="success")
    except SaliencyError as error:
        ctx.ops.notify(str(error), variant="error")
        return
    ctx.ops.reload_samples()


def _tag(ctx: Any) -> str:
    """Return the tag that was typed, or the cluster's number."""
    typed = (ctx.panel.state.get(_layout.TAG) or "").strip()
    return typed or f"cluster {ctx.params['number']}"


def _fields(ctx: Any, kind: type = fo.Heatmap) -> list[str]:
    return [] if ctx.dataset is None else list(ctx.dataset.get_field_schema(embedded_doc_type=kind))
