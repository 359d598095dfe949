"""Two runs on the same samples: what changed, in numbers that lead back to the samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import fiftyone as fo

from fiftyone_saliency.core.comparison import Outcome, ShareChange, confusion_delta
from fiftyone_saliency.core.confusion import Pair, show
from fiftyone_saliency.core.evidence import Evidence, Group
from fiftyone_saliency.core.statistics import Difference, Summary
from fiftyone_saliency.core.verdict import NoiseFloor, Verdict
from fiftyone_saliency.dataset.confusion import ConfusionMatrix
from fiftyone_saliency.dataset.outcomes import LabelPair
from fiftyone_saliency.dataset.regions import RegionShares
from fiftyone_saliency.dataset.runs import SaliencyRun


@dataclass(frozen=True, eq=False)
class Shares:
    """The shares of evidence of two runs.

    Args:
        before: table of the first run, one row per sample.
        after: table of the second run.
        overall: by region, what changed over all samples.
        classes: the same for each true label.
        cells: the same for each (truth, prediction) of the first run.
    """

    before: Evidence
    after: Evidence
    overall: Mapping[str, ShareChange]
    classes: Mapping[Group, Mapping[str, ShareChange]]
    cells: Mapping[Group, Mapping[str, ShareChange]]

    def to_json(self) -> dict[str, Any]:
        """Return everything but the rows as plain JSON values."""
        means = {"before": self.before.summary(), "after": self.after.summary()}
        return {
            "regions": self.before.regions,
            "means": {when: {name: share.to_json() for name, share in m.items()} for when, m in means.items()},
            "overall": _changes_to_json(self.overall),
            "classes": [{"truth": g, "changes": _changes_to_json(c)} for g, c in self.classes.items()],
            "cells": [
                {"truth": g[0], "prediction": g[1], "changes": _changes_to_json(c)}
                for g, c in self.cells.items()
                if isinstance(g, tuple)
            ],
        }


@dataclass(frozen=True, eq=False)
class RunComparison:
    """Two runs on the same samples.

    Both are judged on the same samples: what lacks a prediction of one of them is left out and counted, for nobody
    knows whether that would have been right.

    Args:
        before: record of the first run.
        after: record of the second run.
        labels: the samples with their true and both predicted labels.
        matrix_before: confusion of the first run's predictions, over the samples that have both.
        matrix_after: confusion of the second run's predictions, over the same samples.
        outcomes: numbers of samples that were fixed, broken, still right and still wrong.
        left_out: number of samples without a prediction of both runs.
        accuracy_before: accuracy of the first run, with interval.
        accuracy_after: accuracy of the second run, with interval.
        accuracy_change: their paired difference, with McNemar's p-value.
        shares: what changed in the evidence, or None if no regions were given.
        noise: how far two passes of one model lie apart.
        verdict: what to make of it, in words.
    """

    before: SaliencyRun
    after: SaliencyRun
    labels: LabelPair
    matrix_before: ConfusionMatrix
    matrix_after: ConfusionMatrix
    outcomes: dict[Outcome, int]
    left_out: int
    accuracy_before: Summary
    accuracy_after: Summary
    accuracy_change: Difference
    shares: Shares | None
    noise: NoiseFloor
    verdict: Verdict

    @property
    def confusion_delta(self) -> dict[Pair, int]:
        """Counts of the second matrix minus those of the first, by (truth, prediction)."""
        return confusion_delta(self.matrix_before.counts, self.matrix_after.counts)

    @property
    def shares_before(self) -> RegionShares | None:
        """Evidence by region in the first run, or None if no regions were given."""
        return None if self.shares is None else _summary(self.shares.before)

    @property
    def shares_after(self) -> RegionShares | None:
        """Evidence by region in the second run."""
        return None if self.shares is None else _summary(self.shares.after)

    def view(self, outcome: Outcome) -> fo.DatasetView:
        """Return the samples that were ``"fixed"`` or ``"broken"``, or are ``"still right"`` or ``"still wrong"``.

        Raises:
            UnknownNameError: if there is no such outcome.
        """
        return self.labels.view(outcome)

    def store_outcomes(self, field: str = "outcome") -> dict[Outcome, int]:
        """Write each sample's outcome into a text field that the App's sidebar filters by; return the numbers.

        Raises:
            FieldError: if the field's name is not usable, or the field is of another type.
        """
        return self.labels.store(field)

    def __str__(self) -> str:
        lines = [f"{'':<24}{'before':>9}{'after':>9}{'change':>9}  {'95 % interval':<18}{'p':>8}"]
        lines.append(_row("accuracy", self.accuracy_before.mean, self.accuracy_after.mean, self.accuracy_change))
        for name, change in ({} if self.shares is None else self.shares.overall).items():
            lines.append(_row(f"share {name}", change.before, change.after, change.change))
        lines.append(", ".join(f"{count} {name}" for name, count in self.outcomes.items()))
        if self.left_out:
            lines.append(f"{self.left_out} samples left out: they lack a prediction of one of the two runs")
        return "\n".join([*lines, str(self.noise), str(self.verdict)])

    def to_json(self) -> dict[str, Any]:
        """Return everything but the samples' own numbers as plain JSON values."""
        return {
            "before": {"key": self.before.key, "field": self.before.field, "model": self.before.model_name},
            "after": {"key": self.after.key, "field": self.after.field, "model": self.after.model_name},
            "verdict": self.verdict.to_json(),
            "noise": self.noise.to_json(),
            "outcomes": dict(self.outcomes),
            "left_out": self.left_out,
            "accuracy": {
                "before": self.accuracy_before.to_json(),
                "after": self.accuracy_after.to_json(),
                "change": self.accuracy_change.to_json(),
            },
            "confusion": self._confusion_to_json(),
            "shares": None if self.shares is None else self.shares.to_json(),
        }

    def _confusion_to_json(self) -> list[dict[str, Any]]:
        before, after = self.matrix_before.counts.pairs, self.matrix_after.counts.pairs
        cells = sorted(self.confusion_delta.items(), key=lambda cell: (show(cell[0][0]), show(cell[0][1])))
        return [
            {"truth": t, "prediction": p, "before": before.get((t, p), 0), "after": after.get((t, p), 0), "delta": n}
            for (t, p), n in cells
        ]


def _changes_to_json(changes: Mapping[str, ShareChange]) -> dict[str, Any]:
    return {name: change.to_json() for name, change in changes.items()}


def _summary(evidence: Evidence) -> RegionShares:
    return RegionShares(evidence.field, evidence.regions, evidence.summary(), {})


def _row(name: str, before: float | None, after: float | None, change: Difference) -> str:
    means = "".join(f"{'–' if mean is None else f'{mean:.3f}':>9}" for mean in (before, after))
    if change.mean is None:
        return f"{name:<24}{means}{'–':>9}"
    interval = "too few" if change.low is None else f"[{change.low:+.3f}, {change.high:+.3f}]"
    p = "" if change.p is None else f"{change.p:8.2g}"
    return f"{name:<24}{means}{change.mean:>+9.3f}  {interval:<18}{p}"
