"""What a dataset lacks: which pictures of which class, how many of them, and which of those on offer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fiftyone_saliency.core.embeddings import ROUNDING, Embeddings, nearest_distances
from fiftyone_saliency.core.evidence import Evidence, RegionShare
from fiftyone_saliency.core.statistics import Summary, summarise

MOST_SHOWN = 20


@dataclass(frozen=True)
class Gap:
    """The samples of a confusion cell that fail, and how many pictures are needed against it.

    A sample fails where its prediction is wrong, or right for a wrong reason: its map prefers a region that is not a
    right one. A map that prefers no region to chance is neither: no picture with another cue is known to help.

    Args:
        truth: true label.
        prediction: predicted label; the truth itself for samples that are right for a wrong reason.
        cluster: name of the cluster within the cell; None where no clusters were given, or for samples in none.
        count: samples of the cell (and cluster).
        failing: ids of those that fail.
        wrong_reason: share of the samples whose map prefers a region that is not right, in [0, 1].
        region: the region that the maps of most failing samples prefer; None if they prefer none.
        share: the evidence of the failing samples in that region; None without one.
        counter_examples: samples of the class, in all cells, that are right for a right reason.
        needed: pictures of the class that are needed against this gap.
    """

    truth: str
    prediction: str
    cluster: str | None
    count: int
    failing: tuple[str, ...]
    wrong_reason: Summary
    region: str | None
    share: RegionShare | None
    counter_examples: int
    needed: int = 0

    @property
    def name(self) -> str:
        """What a person calls the gap: the cell, and the cluster where there is one."""
        return f"{self.truth} → {self.prediction}" + ("" if self.cluster is None else f" [{self.cluster}]")

    @property
    def is_error(self) -> bool:
        """Whether the predictions are wrong, rather than right for a wrong reason."""
        return self.truth != self.prediction

    @property
    def advice(self) -> str:
        """What to add, in one sentence."""
        if not self.needed:
            return f"Nothing: as many pictures of {self.truth!r} are right for a right reason as fail."
        pictures = f"{self.needed} picture{'s' * (self.needed > 1)} of {self.truth!r}"
        if self.is_error:
            return f"{pictures} like those taken for {self.prediction!r}."
        return f"{pictures} with another {self.region} than the usual one."

    def to_json(self) -> dict[str, Any]:
        """Return the gap as plain JSON values."""
        plain = ("truth", "prediction", "cluster", "count", "region", "counter_examples", "needed", "advice")
        return {name: getattr(self, name) for name in plain} | {
            "failing": list(self.failing),
            "wrong_reason": self.wrong_reason.to_json(),
            "share": None if self.share is None else self.share.to_json(),
        }


def find_gaps(
    evidence: Evidence, right: Sequence[str], clusters: Mapping[str, str | None] | None = None, min_count: int = 1
) -> list[Gap]:
    """Find where samples fail, and how many pictures would balance them.

    Per class as many pictures are needed as it has failing samples more than samples that are right for a right
    reason: added to the training data, they leave the misleading cue no better than a coin within the class. They
    are shared out among the gaps of the class by their numbers of failing samples.

    Args:
        evidence: table of evidence with truths and predictions; samples that lack one of them are left out.
        right: regions where the evidence should lie. Where it is undefined, a right prediction counts as neither.
        clusters: cluster of each sample id, which splits the cells; or None.
        min_count: gaps with fewer failing samples are left out.

    Returns:
        The gaps, those with most failing samples first.

    References:
        Idrissi et al. Simple data balancing achieves competitive worst-group-accuracy. CLeaR 2022, sec. 3.
        https://arxiv.org/abs/2110.14503
    """
    clusters = clusters or {}
    regions, defined = evidence.dominant(), evidence.defined()
    groups: dict[tuple[str, str, str | None], list[int]] = {}
    good: Counter[str] = Counter()
    for row, (truth, prediction) in enumerate(zip(evidence.truths, evidence.predictions, strict=True)):
        if truth is None or prediction is None:
            continue
        groups.setdefault((truth, prediction, clusters.get(evidence.ids[row])), []).append(row)
        good[truth] += truth == prediction and regions[row] in right
    gaps = [_gap(evidence, group, rows, right, (regions, defined), good[group[0]]) for group, rows in groups.items()]
    gaps = [gap for gap in gaps if len(gap.failing) >= max(1, min_count)]
    return sorted(_with_needs(gaps), key=lambda gap: (-len(gap.failing), gap.name))


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Share out a whole number by weights, with the largest remainders rounded up; no share is above its weight."""
    whole = sum(weights)
    if total >= whole:
        return list(weights)
    exact = [total * weight / whole for weight in weights]
    shares = [int(share) for share in exact]
    by_remainder = sorted(range(len(weights)), key=lambda i: (shares[i] - exact[i], i))
    for i in by_remainder[: total - sum(shares)]:
        shares[i] += 1
    return shares


def propose(
    rankings: Sequence[Sequence[str]], quotas: Sequence[int], embeddings: Embeddings, closest: float
) -> list[list[str]]:
    """Choose samples for each gap, best first; no sample and no near-duplicate of a chosen one is chosen.

    The gaps choose in turn, so that none takes what is also another's before that one has any.

    Args:
        rankings: per gap the ids on offer, the best first; all of them have an embedding.
        quotas: per gap how many to choose at most.
        embeddings: what near-duplicates are told by.
        closest: cosine distance up to which two samples are near-duplicates, at least 0.

    Returns:
        Per gap the chosen ids, the best first.
    """
    chosen: list[list[str]] = [[] for _ in rankings]
    offers = [iter(ranking) for ranking in rankings]
    waiting = [i for i, quota in enumerate(quotas) if quota > 0]
    while waiting:
        for i in list(waiting):
            taken = embeddings.select(one for own in chosen for one in own)
            sample_id = next((one for one in offers[i] if _is_new(embeddings.select([one]), taken, closest)), None)
            if sample_id is not None:
                chosen[i].append(sample_id)
            if sample_id is None or len(chosen[i]) == quotas[i]:
                waiting.remove(i)
    return chosen


def table(gaps: Sequence[Gap], proposed: Sequence[int] | None) -> str:
    """Write the gaps as a table for a person, with what to add below it.

    Args:
        gaps: the gaps.
        proposed: how many samples were found for each; None where none were looked for.
    """
    shown = gaps[:MOST_SHOWN]
    width = max([len(gap.name) for gap in shown], default=4) + 2
    lines = [f"{'cell':<{width}}{'failing':>12}{'wrong reason':>26}  {'evidence':<28}{'needed':>8}{'found':>8}"]
    for i, gap in enumerate(shown):
        w, share = gap.wrong_reason, gap.share
        wrong = "–" if w.mean is None else f"{w.mean:.2f} (n={w.n}: too few)" if w.low is None else _interval(w)
        where = "–" if share is None else f"{gap.region} {share.mean:.2f} (area {share.area:.2f})"
        found = "" if proposed is None else str(proposed[i])
        failing = f"{len(gap.failing)} of {gap.count}"
        lines.append(f"{gap.name:<{width}}{failing:>12}{wrong:>26}  {where:<28}{gap.needed:>8}{found:>8}")
    if len(gaps) > len(shown):
        lines.append(f"… and {len(gaps) - len(shown)} more")
    return "\n".join([*lines, *(f"{gap.name}: {gap.advice}" for gap in shown)])


def _is_new(candidate: Embeddings, taken: Embeddings, closest: float) -> bool:
    return candidate.ids[0] not in taken and float(nearest_distances(candidate, taken)[0]) > closest + ROUNDING


def _gap(
    evidence: Evidence,
    group: tuple[str, str, str | None],
    rows: Sequence[int],
    right: Sequence[str],
    preferred: tuple[Sequence[str | None], Sequence[bool]],
    good: int,
) -> Gap:
    truth, prediction, cluster = group
    regions, defined = preferred
    wrong = [float(regions[row] is not None and regions[row] not in right) if defined[row] else None for row in rows]
    failing = [row for row, bad in zip(rows, wrong, strict=True) if truth != prediction or bad]
    found = Counter(region for row in failing if (region := regions[row]) is not None)
    region = found.most_common(1)[0][0] if found else None
    share = None if region is None else evidence.select(failing).summary()[region]
    ids = tuple(evidence.ids[row] for row in failing)
    return Gap(truth, prediction, cluster, len(rows), ids, summarise(wrong), region, share, good)


def _with_needs(gaps: Sequence[Gap]) -> list[Gap]:
    by_class: dict[str, list[Gap]] = {}
    for gap in gaps:
        by_class.setdefault(gap.truth, []).append(gap)
    filled: list[Gap] = []
    for own in by_class.values():
        failing = [len(gap.failing) for gap in own]
        needed = max(0, sum(failing) - own[0].counter_examples)
        filled += [replace(gap, needed=n) for gap, n in zip(own, apportion(needed, failing), strict=True)]
    return filled


def _interval(summary: Summary) -> str:
    return f"{summary.mean:.2f} [{summary.low:.2f}, {summary.high:.2f}] n={summary.n}"
