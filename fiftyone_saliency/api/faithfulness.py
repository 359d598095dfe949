"""Measure how faithful a run's maps are to its model, and keep it with the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fiftyone_saliency.api._examples import subsample
from fiftyone_saliency.api._progress import Progress, track
from fiftyone_saliency.api._workers import check_batch_size, count_workers
from fiftyone_saliency.core.checks import check_choice, check_int, check_seed
from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.core.faithfulness import MEASURES, Faithfulness, Measure, Measured
from fiftyone_saliency.core.frames import to_input
from fiftyone_saliency.dataset import runs
from fiftyone_saliency.dataset.fields import dataset_of
from fiftyone_saliency.runtime.faithfulness import PERTURBATIONS, RADIUS, ROAD_FRACTIONS, ROAD_NOISE, SQUARE, Prober
from fiftyone_saliency.runtime.substrate import SUBSTRATES, Substrate

_MOST_STEPS = 1000


def faithfulness(
    samples: Any,
    model: Any,
    run: str = "saliency",
    *,
    measures: Sequence[Measure] = ("deletion", "insertion"),
    count: int = 64,
    steps: int = 32,
    substrate: Substrate = "blur",
    seed: int = 51,
    batch_size: int = 32,
    num_workers: int | None = None,
    progress: Progress = True,
) -> Faithfulness:
    """Measure on a drawn subsample whether the pixels that the maps point at matter, and keep that with the run.

    The score is the probability of the class that a map explains (of a contrast, the first of its two). Each
    measure stands beside what a random map scores on the same image: maps that do not beat it explain nothing.

    - ``"deletion"``: area under the score while pixels are replaced by the substrate, the most salient first; less is
      better.
    - ``"insertion"``: the same while they are put back into the substrate; more is better.
    - ``"road"``: mean score after 10 to 90 % of the pixels, the most salient first, were filled in from their
      neighbours, which leaves no trace of what was removed; less is better.
    - ``"infidelity"``: mean squared error of the map's sum over a drawn square, scaled by the factor that suits it
      best, as a forecast of how far the explained score falls when the square is replaced by the substrate; less is
      better. In squared units of the score.
    - ``"sensitivity"``: the largest change of the map, as a share of its norm, under noise of up to 2 % of the image's
      range; less is better. It asks how steady a map is, not where it points, so that it has no random counterpart.

    The first three rank the pixels of the stored map, brought into the network's input, where every pixel has a rank
    of its own and equal ones come in a drawn order. The last two compute the map anew.

    Args:
        samples: dataset or view.
        model: the model of the run.
        run: key of the run, or the field that holds its heatmaps.
        measures: what to measure.
        count: samples that are drawn.
        steps: steps of deletion and insertion, 1 to 1,000; each is a forward pass of every image, twice.
        substrate: what replaces pixels: ``"blur"``, ``"mean"`` (the image's mean colour) or ``"zero"``.
        seed: seed of the draw of samples; random orders and noise follow the run's seed and the sample.
        batch_size: images per forward pass, 1 to 1,024.
        num_workers: threads that read images; by default one per core, up to 8; 0 reads in the calling thread.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.

    Returns:
        For each measure its values, their mean with interval, that of random maps, and the paired difference. A sample
        whose map is empty, or that can no longer be explained, is undefined and counted. `load_run` brings the
        summaries back.

    Raises:
        UnknownNameError: if there is no such run, measure or substrate.
        ModelError: if the model is not the run's, or what its scores are is not known.
        FieldError: if no sample carries a map of the run.

    References:
        Petsiuk, Das, Saenko. RISE. BMVC 2018, sec. 4.2. https://arxiv.org/abs/1806.07421
        Rong et al. A Consistent and Efficient Evaluation Strategy for Attribution Methods. ICML 2022.
        https://arxiv.org/abs/2202.00449
        Yeh, Hsieh, Suggala, Inouye, Ravikumar. On the (In)fidelity and Sensitivity of Explanations. NeurIPS 2019,
        def. 2.1 and eq. 7. https://arxiv.org/abs/1901.09392
    """
    if not measures:
        raise ArgumentError(f"Expected `measures` to name at least one of {', '.join(MEASURES)}, but got none.")
    for measure in measures:
        check_choice(measure, "measures", MEASURES)
    check_choice(substrate, "substrate", SUBSTRATES)
    check_int(count, "count", 1)
    check_int(steps, "steps", 1, _MOST_STEPS)
    check_batch_size(batch_size)
    check_seed(seed)
    workers = count_workers(num_workers)
    drawn = subsample(samples, model, run, count, seed)
    drawn.explainer.model.require_probabilities()
    prober = Prober(drawn.explainer.model, drawn.explainer.method, steps, substrate)
    found: dict[str, dict[str, tuple[float | None, float | None]]] = {}
    for _, groups in track(drawn.batches(1, workers), len(drawn.items), progress, size=lambda pair: pair[0]):
        for example in groups:
            (image,) = example.images
            values = drawn.map_of(image.item.id)
            if values is not None:
                size = (image.tensor.shape[1], image.tensor.shape[2])
                saliency = to_input(values, image.placement, size)
                batch = replace(example.batch, rows=batch_size)
                found[image.item.id] = prober(batch, saliency, measures)
    ids = [item.id for item in drawn.items]
    nothing = dict.fromkeys(measures, (None, None))
    rows = {name: [found.get(i, nothing)[name] for i in ids] for name in measures}
    columns = {name: Measured(name, *map(list, zip(*row, strict=True))) for name, row in rows.items()}
    faithful = Faithfulness(drawn.run.key, ids, columns, _settings(measures, steps, substrate), drawn.failures)
    dataset = dataset_of(samples)
    runs.save(dataset, replace(runs.load(dataset, drawn.run.key), faithfulness=faithful.to_json()))
    return faithful


def _settings(measures: Sequence[Measure], steps: int, substrate: Substrate) -> dict[str, Any]:
    """Return what decides the numbers, by name."""
    settings: dict[str, Any] = {}
    if {"deletion", "insertion", "infidelity"} & set(measures):
        settings["substrate"] = substrate
    if {"deletion", "insertion"} & set(measures):
        settings["steps"] = steps
    if "road" in measures:
        settings |= {"road_fractions": list(ROAD_FRACTIONS), "road_noise": ROAD_NOISE}
    if "infidelity" in measures:
        settings["square"] = SQUARE
    if "sensitivity" in measures:
        settings["radius"] = RADIUS
    if {"infidelity", "sensitivity"} & set(measures):
        settings["perturbations"] = PERTURBATIONS
    return settings
