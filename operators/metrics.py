"""Measures of saliency maps as metrics of FiftyOne's evaluations, for its own panel *Model Evaluation*."""

from __future__ import annotations

from typing import Any, ClassVar

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.measures import measure_into_field
from fiftyone_saliency.dataset.evaluations import keep_custom_metrics

from . import _entries
from ._forms import Form


class SaliencyMetric(foo.EvaluationMetric):
    """The mean of one measure over the evaluated samples; the value of each goes to the field ``<eval_key>_<name>``."""

    measure: ClassVar[str]
    metric: ClassVar[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Here, because the App's server makes every operator before it reads the results of an evaluation.
        keep_custom_metrics()

    @property
    def config(self) -> foo.EvaluationMetricConfig:
        """What FiftyOne shows of the metric."""
        info = fos.list_measures()[self.measure]
        config = foo.EvaluationMetricConfig(
            name=self.metric,
            label=f"Saliency: {info.title.lower()}",
            description=info.summary,
            eval_types=["classification"],
            aggregate_key=self.metric,
            lower_is_better=info.higher_is_better is False,
            unlisted=True,
            risk_level=types.RiskLevel.LOW,
        )
        # FiftyOne 1.22 looks for it here, and takes every metric without it for one of errors.
        config.kwargs["lower_is_better"] = config.lower_is_better
        return config

    def resolve_input(self, ctx: Any) -> Any:
        """Build the form of the metric's parameters."""
        form = Form(ctx)
        _entries.choose_heatmaps(form)
        if fos.list_measures()[self.measure].needs_region:
            _entries.choose_regions(form)
            form.name("region", "Region", "Name of the one region to measure")
        # The entries are part of another operator's form, whose parameters are not ours to fill in.
        return types.Property(form.inputs)

    def compute(self, samples: Any, results: Any, **kwargs: Any) -> float | None:
        """Measure the heatmaps of the evaluated samples.

        Args:
            samples: the evaluated dataset or view.
            results: FiftyOne's results of the evaluation.
            **kwargs: ``field``, and for a measure of a region ``regions`` and ``region``.

        Returns:
            Mean over the samples where the measure is defined; None, which FiftyOne does not show, if there are none.
        """
        return measure_into_field(samples, self.measure, self._field(results.key), **kwargs).mean

    def get_fields(self, samples: Any, config: Any, eval_key: str) -> list[str]:
        """Return the field of the samples' values, so that FiftyOne renames and deletes it with the evaluation."""
        field = self._field(eval_key)
        return [field] if field is not None and samples.has_field(field) else []

    def _field(self, eval_key: str | None) -> str | None:
        return None if eval_key is None else f"{eval_key}_{self.metric}"


class EvidenceShare(SaliencyMetric):
    """How much of the positive evidence lies in a region."""

    measure, metric = "share", "evidence_share"


class PointingGame(SaliencyMetric):
    """How often the maximum of the map lies in a region."""

    measure, metric = "pointing_game", "pointing_game"


class Concentration(SaliencyMetric):
    """How concentrated the evidence is, by its Gini index."""

    measure, metric = "gini", "concentration"


METRICS = (EvidenceShare, PointingGame, Concentration)
