"""Check whether a run's maps may be believed, before anything is concluded from them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

from fiftyone_saliency.api._examples import carrying, subsample
from fiftyone_saliency.api._progress import Progress, track
from fiftyone_saliency.api._work import MOST_DELTA
from fiftyone_saliency.api._workers import check_batch_size, count_workers
from fiftyone_saliency.core.checks import check_int, check_seed
from fiftyone_saliency.core.trust import (
    Trust,
    TrustCheck,
    judge_agreement,
    judge_completeness,
    judge_evidence,
    judge_randomisation,
)
from fiftyone_saliency.dataset import runs
from fiftyone_saliency.dataset.fields import dataset_of
from fiftyone_saliency.dataset.runs import SaliencyRun
from fiftyone_saliency.methods._registry import Method, get_method, list_methods
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.runtime.agreement import Agreement, agreement
from fiftyone_saliency.runtime.randomise import randomisation

_PERTURBATION, _GRADIENT = "occlusion", "integrated_gradients"
# Each is the work of the run once more.
_MOST_RUNS = 100


def check_trust(
    samples: Any,
    model: Any,
    run: str = "saliency",
    *,
    count: int = 32,
    seed: int = 51,
    stages: int = 2,
    draws: int = 3,
    other: str | None = None,
    batch_size: int = 8,
    num_workers: int | None = None,
    progress: Progress = True,
) -> Trust:
    """Check a run's maps on a drawn subsample, and keep the verdict in the run's record.

    Four checks, each of which must not fail:

    - randomisation: the weights of a copy of the network are drawn anew, from the output down. Maps that hardly
      change do not show what the network has learnt. Their rank correlation with the original ones must be below 0.6
      from half of the layers on, and below 0.3 at the end. A method that `list_methods` marks as no evidence fails
      whatever comes out. Does not apply to a black box. On images of few pixels the zero padding of a network makes
      maps alike near the border, whatever the weights.
    - agreement: a method of another family must put the evidence in the same places, on a grid of 7 × 7, more than
      it does on other samples: maps that lean to the centre agree whatever is in the image. The rank correlation must
      surely be higher by 0.1; surely higher at all is weak, which passes and is told.
    - evidence: at most a tenth of the stored maps may be without any.
    - completeness: where the method promises that a map adds up to its score, nine of ten must do so up to 5 %.

    The marks are this package's own. A run that passes shows what its model looks at; whether that is a cause of the
    answer is for `hide_region` to say.

    Args:
        samples: dataset or view; the last two checks look at all of its maps.
        model: the model of the run.
        run: key of the run, or the field that holds its heatmaps.
        count: samples that are drawn for the first two checks.
        seed: seed of that draw and of the weights.
        stages: steps of the randomisation, 1 to 100; each costs a map per sample and draw.
        draws: how often the weights are drawn, 1 to 100: one random network may by chance look where the trained
            one does.
        other: name of the method to agree with; by default occlusion, and Integrated Gradients for a run of a
            perturbation method.
        batch_size: images per batch, 1 to 1,024.
        num_workers: threads that read images; by default one per core, up to 8; 0 reads in the calling thread.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.

    Returns:
        The verdict: checks with their values, whether the run passed, and why not. `load_run` brings it back.

    Raises:
        UnknownNameError: if there is no such run or method.
        ModelError: if the model is not the run's, or cannot be copied.
        FieldError: if no sample carries a map of the run.

    References:
        Adebayo et al. Sanity Checks for Saliency Maps. NeurIPS 2018. https://arxiv.org/abs/1810.03292
    """
    check_int(count, "count", 1)
    for name, number in (("stages", stages), ("draws", draws)):
        check_int(number, name, 1, _MOST_RUNS)
    check_batch_size(batch_size)
    check_seed(seed)
    workers = count_workers(num_workers)
    drawn = subsample(samples, model, run, count, seed)
    request, network = drawn.run.request, drawn.explainer.model
    partner = _partner(request.method, network, other)
    changes: dict[float, list[float | None]] = defaultdict(list)
    agreed = Agreement()
    seeds = range(seed, seed + draws)
    for _, groups in track(drawn.batches(batch_size, workers), len(drawn.items), progress, size=lambda pair: pair[0]):
        for batch in (group.batch for group in groups):
            if network.differentiable:
                found = randomisation(drawn.explainer.method, network, batch, request.sign, stages, seeds)
                for share, column in found.items():
                    changes[share].extend(column)
            if partner is not None:
                agreed += agreement(drawn.explainer.method, partner[1], network, batch, request.sign)
    name = None if partner is None else partner[0]
    checks = (
        judge_randomisation(changes, not list_methods()[request.method].evidence),
        judge_agreement(request.method, name, agreed.together, agreed.by_chance),
        *_stored(samples, drawn.run),
    )
    trust = Trust(drawn.run.key, checks, seed, len(drawn.failures))
    dataset = dataset_of(samples)
    runs.save(dataset, replace(runs.load(dataset, drawn.run.key), trust=trust))
    return trust


def _partner(method: str, model: ModelAdapter, other: str | None) -> tuple[str, Method] | None:
    """Return a method of another family than the run's, or None if the model allows none."""
    if other is None:
        own = list_methods()[method].family
        if own == "perturbation" and not model.differentiable:
            return None
        other = _GRADIENT if own == "perturbation" else _PERTURBATION
    return get_method(other)


def _stored(samples: Any, run: SaliencyRun) -> tuple[TrustCheck, TrustCheck]:
    """Judge the stored maps by what their heatmaps say of them."""
    maps = carrying(samples, run)
    highest, deltas = maps.values([f"{run.field}.vmax", f"{run.field}.delta"])
    return judge_evidence([value == 0 for value in highest]), judge_completeness(deltas, MOST_DELTA)
