"""Plan an enrichment: what a dataset lacks, and which samples of a pool would fill it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import fiftyone as fo

from fiftyone_saliency.api._progress import Progress
from fiftyone_saliency.api.embed import embed_parts
from fiftyone_saliency.api.reasons import reasons
from fiftyone_saliency.core.checks import check_choice, check_int, check_range
from fiftyone_saliency.core.embeddings import PARTS, Embeddings, Part, rank_unlike_cues
from fiftyone_saliency.core.errors import ArgumentError, FieldError
from fiftyone_saliency.core.planning import Gap, apportion, find_gaps, propose, table
from fiftyone_saliency.dataset.curate import as_tags
from fiftyone_saliency.dataset.fields import all_images, dataset_of, require_field
from fiftyone_saliency.dataset.similarity import rank_by_similarity, same_pictures


@dataclass(frozen=True, eq=False)
class EnrichmentPlan:
    """What a dataset lacks, and which samples of a pool would fill it.

    Args:
        field: Heatmap field that was measured.
        regions: the regions.
        right: the regions where the evidence should lie.
        gaps: where samples fail and how many pictures are needed, those with most failing samples first.
        pool: the samples to choose from, or None.
        proposed: per gap the ids of the chosen samples of the pool, the best first; None without a pool.
        left_out: samples of the pool that were not on offer, by reason.
    """

    field: str
    regions: str
    right: tuple[str, ...]
    gaps: tuple[Gap, ...]
    pool: Any = None
    proposed: tuple[tuple[str, ...], ...] | None = None
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)
    _tagged: dict[str, list[str]] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def needed(self) -> int:
        """How many pictures are needed in all."""
        return sum(gap.needed for gap in self.gaps)

    @property
    def ids(self) -> list[str]:
        """Ids of all proposed samples, each once."""
        return [sample_id for own in self.proposed or () for sample_id in own]

    def view(self) -> fo.DatasetView:
        """Return the proposed samples, gap by gap, the best first.

        Raises:
            ArgumentError: if the plan was made without a pool.
        """
        if self.pool is None:
            raise ArgumentError("Expected a plan with a pool, but this one has none. Pass `pool` to plan_enrichment.")
        return all_images(dataset_of(self.pool)).select(self.ids, ordered=True)

    def apply(self, tag: str = "enrich") -> int:
        """Tag the proposed samples; applying twice changes nothing more. `untag` undoes it.

        Returns:
            Number of samples that did not carry the tag before.

        Raises:
            ArgumentError: if the tag is not a non-empty string, or the plan was made without a pool.
        """
        (tag,) = as_tags(tag)
        fresh = self.view().match_tags(tag, bool=False)
        ids = fresh.values("id")
        fresh.select(ids).tag_samples(tag)
        self._tagged.setdefault(tag, []).extend(ids)
        return len(ids)

    def untag(self, tag: str = "enrich") -> int:
        """Take the tag from the samples that `apply` gave it to; those that had it before keep it.

        Returns:
            Number of samples that lost the tag.
        """
        ids = self._tagged.pop(tag, [])
        tagged = self.view().match_tags(tag).select(ids)
        count = len(tagged)
        tagged.untag_samples(tag)
        return count

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain JSON values."""
        proposed = self.proposed or ((),) * len(self.gaps)
        return {
            "field": self.field,
            "regions": self.regions,
            "right": list(self.right),
            "needed": self.needed,
            "gaps": [gap.to_json() | {"proposed": list(ids)} for gap, ids in zip(self.gaps, proposed, strict=True)],
            "left_out": dict(self.left_out),
        }

    def __str__(self) -> str:
        failing = sum(len(gap.failing) for gap in self.gaps)
        head = f"{failing} samples fail, {self.needed} pictures are needed"
        if self.proposed is None:
            return f"{head}\n{table(self.gaps, None)}"
        left_out = ", ".join(f"{count} {why}" for why, count in self.left_out.items() if count)
        tail = f"\nnot on offer: {left_out}" if left_out else ""
        return f"{head}, {len(self.ids)} are proposed\n{table(self.gaps, [len(ids) for ids in self.proposed])}{tail}"


def plan_enrichment(
    samples: Any,
    field: str = "saliency",
    *,
    regions: str,
    right: Sequence[str],
    gt_field: str = "ground_truth",
    pred_field: str = "predictions",
    clusters: str | None = None,
    min_count: int = 1,
    pool: Any = None,
    known: Any = None,
    model: Any = None,
    embeddings: Mapping[Part, Embeddings] | None = None,
    by: Part = "image",
    count: int | None = None,
    closest: float = 0.001,
    progress: Progress = False,
) -> EnrichmentPlan:
    """Say which pictures of which class a dataset lacks, how many, and which samples of a pool would do.

    A sample fails where its prediction is wrong, or right for a wrong reason. Per class as many pictures are needed
    as it has failing samples more than samples that are right for a right reason; see `Gap`.

    Against wrong predictions, FiftyOne Brain finds the pictures of the pool that look like any of the failing ones.
    Against samples that are right for a wrong reason that would find the misleading cue once more: what is needed are
    pictures with *another* cue, so the pool is ranked by how unlike the salient region is while the rest is alike
    (`rank_unlike_cues`). Samples of the pool need maps for that; without one they are not on offer against these gaps.
    Where a sample of the pool has a label it must be the gap's true one. A picture of `samples` or `known` is never
    proposed, nor a near-duplicate of another proposal.

    Args:
        samples: what was evaluated: dataset or view with predictions and maps.
        field: Heatmap field, best of the predicted class.
        regions: a label field whose labels are regions, or the name of regions that the dataset defines.
        right: the regions where the evidence should lie, such as ``["uniform"]``.
        gt_field: Classification field of the true labels; read from the pool too, where it has the field.
        pred_field: Classification field of the predicted labels.
        clusters: Classification or string field that splits the cells further, or None.
        min_count: gaps with fewer failing samples are left out.
        pool: dataset or view of unlabelled or held-out samples to choose from; None plans without proposals.
        known: dataset or view that is never proposed from either, such as the training data.
        model: whatever `load_model` takes: its features are what similarity is measured by.
        embeddings: embeddings of samples and pool instead of a model, by part, as `embed` returns them:
            ``{"image": ..., "salient": ..., "rest": ...}``, of which the latter two may be missing.
        by: the part that pictures like the wrongly predicted ones are found by: the whole ``"image"``, its
            ``"salient"`` region, or the ``"rest"``.
        count: most samples to propose, shared out among the gaps by their needs; None for all that are needed.
        closest: cosine distance up to which two samples of the pool are near-duplicates.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.

    Returns:
        The plan; `apply` tags what it proposes.

    Raises:
        ArgumentError: if a parameter makes no sense, or a pool is given without model or embeddings.
        UnknownNameError: if a field or region does not exist.
        FieldError: if a field is of the wrong type, or samples or pool are empty.
    """
    check_int(min_count, "min_count", 1)
    check_choice(by, "by", PARTS)
    check_range(closest, "closest", 0, 2)
    if count is not None:
        check_int(count, "count", 1)
    if isinstance(right, str) or not right:
        raise ArgumentError(f"Expected `right` to list at least one region, but got {right!r}.")
    if pool is not None:
        _check_pool(pool, model, embeddings, by)
    found = reasons(
        samples, field, regions=regions, right=right, gt_field=gt_field, pred_field=pred_field, progress=progress
    )
    gaps = tuple(find_gaps(found.evidence, right, _clusters(samples, clusters), min_count))
    plan = EnrichmentPlan(field, regions, tuple(right), gaps)
    if pool is None or not plan.needed:
        return plan if pool is None else replace(plan, pool=pool, proposed=((),) * len(gaps))
    offered = _without(pool, [samples] if known is None else [samples, known])
    failing = [sample_id for gap in gaps for sample_id in gap.failing]
    if embeddings is None:
        embeddings = _embed(samples.select(failing), offered, model, field, progress)
    if not any(len(part.select(failing)) for part in embeddings.values()):
        raise ArgumentError("Expected embeddings of failing samples, but none of them has one. Embed `samples` too.")
    offers = _Offers(offered, embeddings, by, gt_field)
    quotas = [gap.needed for gap in gaps]
    quotas = quotas if count is None else apportion(count, quotas)
    rankings = [offers.rank(gap) if quota else [] for gap, quota in zip(gaps, quotas, strict=True)]
    proposed = tuple(tuple(ids) for ids in propose(rankings, quotas, embeddings["image"], closest))
    left_out = {"known pictures": len(pool) - len(offered)} | offers.left_out
    return replace(plan, pool=pool, proposed=proposed, left_out=left_out)


class _Offers:
    """What a pool has to offer against each gap."""

    def __init__(self, pool: Any, embeddings: Mapping[Part, Embeddings], by: Part, gt_field: str) -> None:
        self._pool, self._embeddings = pool, embeddings
        self._by: Part = by
        ids = pool.values("id")
        labels = pool.values(f"{gt_field}.label") if pool.has_field(gt_field) else [None] * len(ids)
        known = embeddings["image"]
        self._labels: dict[str, str | None] = {i: n for i, n in zip(ids, labels, strict=True) if i in known}
        self.left_out = {"without embedding": len(ids) - len(self._labels)}

    def rank(self, gap: Gap) -> list[str]:
        """Return the samples on offer against a gap, the best first."""
        fitting = [i for i, label in self._labels.items() if label in (None, gap.truth)]
        if gap.is_error:
            part = self._embeddings[self._by]
            return rank_by_similarity(self._pool, part.select(fitting), part.select(gap.failing))
        maps = {"salient", "rest"} <= self._embeddings.keys()
        blind = sum(not maps or i not in self._embeddings["salient"] for i in self._labels)
        self.left_out["without a map to tell the cue by, against wrong reasons"] = blind
        return rank_unlike_cues(self._embeddings, fitting, gap.failing) if maps else []


def _without(pool: Any, known: Sequence[Any]) -> Any:
    """Return a pool without the pictures that are known."""
    offered = pool.exclude(list(same_pictures(pool, known)))
    if len(offered) == 0:
        raise FieldError(
            f"Expected `pool` to hold pictures that `samples` and `known` do not have, but all {len(pool)} are theirs. "
            "Pass other samples."
        )
    return offered


def _check_pool(pool: Any, model: Any, embeddings: Mapping[Part, Embeddings] | None, by: Part) -> None:
    dataset_of(pool)
    if len(pool) == 0:
        raise FieldError("Expected `pool` to hold samples to choose from, but it is empty. Clear or widen its filters.")
    if (model is None) == (embeddings is None):
        both = "neither" if model is None else "both"
        raise ArgumentError(f"Expected a pool with either `model` or `embeddings`, but got {both}. Pass one of them.")
    if embeddings is not None and (missing := {"image", by} - embeddings.keys()):
        raise ArgumentError(f"Expected `embeddings` by part, but {' and '.join(sorted(missing))} is missing. Add it.")


def _embed(failing: Any, pool: Any, model: Any, field: str, progress: Progress) -> dict[Part, Embeddings]:
    """Return the embeddings of failing samples and pool together; the pool may have no maps."""
    maps = field if pool.get_field(field) is not None else None
    own = embed_parts(failing, model, field, progress=progress)
    others = embed_parts(pool, model, maps, progress=progress)
    return {part: Embeddings.join([own[part], others[part]]) for part in PARTS}


def _clusters(samples: Any, field: str | None) -> dict[str, str | None] | None:
    if field is None:
        return None
    if not isinstance(samples.get_field(field), fo.StringField):
        require_field(samples, field, fo.Classification, "clusters")
        field = f"{field}.label"
    return dict(zip(*samples.values(["id", field]), strict=True))
