"""Before and after: two runs on the same samples, what changed, and whether it is fixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fiftyone_saliency.api._progress import Progress, track
from fiftyone_saliency.api.runs import list_runs
from fiftyone_saliency.core.checks import check_range
from fiftyone_saliency.core.comparison import (
    Sides,
    accuracy_change,
    balance,
    correctness,
    movement_of,
    paired,
    right_reasons,
    room,
    share_changes,
    share_changes_by,
)
from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.core.evidence import Evidence
from fiftyone_saliency.core.maps import LEVELS
from fiftyone_saliency.core.statistics import difference, summarise
from fiftyone_saliency.core.verdict import (
    GOOD_ACCURACY,
    GOOD_REASON,
    MIN_EFFECT,
    SLACK,
    Axis,
    NoiseFloor,
    Verdict,
    least_effect,
    noise_of,
)
from fiftyone_saliency.dataset import runs
from fiftyone_saliency.dataset.comparison import RunComparison, Shares
from fiftyone_saliency.dataset.confusion import count_confusion
from fiftyone_saliency.dataset.fields import count_samples, dataset_of, require_samples
from fiftyone_saliency.dataset.outcomes import LabelPair
from fiftyone_saliency.dataset.regions import read_evidence
from fiftyone_saliency.dataset.runs import SaliencyRun

# What rounding to levels alone can move a value by, as a share of the map's range.
STORAGE = 1 / LEVELS


def compare_runs(
    samples: Any,
    before: str,
    after: str,
    *,
    regions: str | None = None,
    should_fall: Sequence[str] = (),
    should_rise: Sequence[str] = (),
    gt_field: str = "ground_truth",
    noise: str | Evidence | None = None,
    min_effect: float = MIN_EFFECT,
    good_reason: float = GOOD_REASON,
    good_accuracy: float = GOOD_ACCURACY,
    progress: Progress = False,
) -> RunComparison:
    """Compare two runs, such as of a model before and after retraining, on the same samples, and judge the change.

    The verdict has two axes, reason and accuracy, each "fixed", "moved, not proven", "unchanged" or "worse"; see
    `core.verdict.Axis` for the rule. It is withheld where the maps of a run failed `check_trust`. Compare on samples
    where the suspected cue does not help, such as a view of pictures with shuffled heads: where it helps, accuracy is
    high for the wrong reason.

    Args:
        samples: dataset or view.
        before: key or field of the first run.
        after: key or field of the second run.
        regions: a label field whose labels are regions, or the name of regions that the dataset defines; None
            compares accuracy alone.
        should_fall: regions whose share of the evidence should fall, such as ``["head"]``.
        should_rise: regions whose share should rise, such as ``["uniform"]``. Without either, the reason is not
            judged.
        gt_field: Classification field of the true labels.
        noise: a second pass of one of the two models: key or field of a run of it (other seed, number format,
            JPEG quality; or the model trained again with another seed on the same data, which says most), or
            what `second_pass` returned. A movement that is no larger than between the two passes is none. None
            leaves the floor unmeasured, and the result says so.
        min_effect: movements up to here are of no interest, as a share in [0, 1]; of the reason, a quarter of what
            there was to move, where that is less.
        good_reason: share of samples that should rest on the right regions after, in [0, 1]: those with no more
            evidence than chance on regions that should fall, and more on those that should rise. The mean has to
            reach it, and the low end of its interval may lie 0.1 below.
        good_accuracy: accuracy that is good enough after, in [0, 1], held in the same way.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.

    Returns:
        Confusion of both and its difference, what became of each sample, paired differences of accuracy and of
        the shares of evidence (overall, by class, by cell), the noise floor, and the verdict. All are of the samples
        that both runs have a prediction of; ``left_out`` counts the others, and so does each difference.

    Raises:
        UnknownNameError: if a run, field or region does not exist.
        ArgumentError: if a run was not computed from stored predictions, or an argument makes no sense.
        FieldError: if a field is of the wrong type, or there are no samples.

    References:
        Yang, Kim. Benchmarking Attribution Methods with Relative Feature Importance. 2019, sec. 3 (model contrast).
        https://arxiv.org/abs/1907.09701
    """
    for name, value in {"min_effect": min_effect, "good_reason": good_reason, "good_accuracy": good_accuracy}.items():
        check_range(value, name, 0, 1)
    sides = _sides(regions, should_fall, should_rise)
    dataset = dataset_of(samples)
    require_samples(samples)
    records = [runs.load(dataset, key) for key in (before, after)]
    labels = LabelPair(samples, gt_field, *(_pred_field(run) for run in records))
    paired_samples = labels.paired
    matrices = [count_confusion(paired_samples, field, gt_field) for field in (labels.before, labels.after)]
    one, two = (_read(samples, run, regions, gt_field, progress) for run in records)
    floor = NoiseFloor(STORAGE, 0.0, None)
    if noise is not None:
        twin, second = _second_pass(samples, noise, records, (one, two), regions, gt_field, progress)
        floor = _measure_floor(twin, second, sides)
    right_before, right_after = paired(one.right, two.right)
    shares = None if one.evidence is None or two.evidence is None else _compare_shares(one.evidence, two.evidence)
    change = accuracy_change(right_before, right_after)
    accuracy = Axis("accuracy", change, max(floor.accuracy, min_effect), summarise(right_after), good_accuracy, SLACK)
    return RunComparison(
        before=records[0],
        after=records[1],
        labels=labels,
        matrix_before=matrices[0],
        matrix_after=matrices[1],
        outcomes=labels.count(),
        left_out=count_samples(samples) - matrices[0].counts.total,
        accuracy_before=summarise(right_before),
        accuracy_after=summarise(right_after),
        accuracy_change=change,
        shares=shares,
        noise=floor,
        verdict=Verdict(_reason(shares, sides, floor.reason, min_effect, good_reason), accuracy, _withheld(records)),
    )


def comparable_runs(samples: Any) -> list[SaliencyRun]:
    """Return the runs of a dataset that explain stored predictions, the oldest first: what can be compared."""
    return [run for run in list_runs(samples) if run.request.pred_field is not None]


def next_run(runs: Sequence[str], run: str | None) -> str | None:
    """Return the run after this one, in the order in which they were computed; of the last one, the first other."""
    following = runs[runs.index(run) + 1 :] if run in runs else []
    return next((other for other in [*following, *runs] if other != run), None)


@dataclass(frozen=True, eq=False)
class _Pass:
    """One pass of a model over the samples: its evidence, if regions were given, and what it got right, by sample."""

    field: str
    ids: Sequence[str]
    evidence: Evidence | None
    right: Sequence[float | None]


def _read(samples: Any, run: SaliencyRun, regions: str | None, gt_field: str, progress: Progress) -> _Pass:
    pred_field, total = _pred_field(run), count_samples(samples)
    ids, truths, predictions = samples.values(["id", f"{gt_field}.label", f"{pred_field}.label"])
    evidence = None
    if regions is not None:
        evidence = read_evidence(
            samples,
            run.field,
            regions,
            gt_field,
            pred_field,
            progress=lambda rows: track(rows, total, progress, size=lambda _: 1),
        )
    return _Pass(run.field, ids, evidence, correctness(truths, predictions, missing_is_wrong=False))


def _second_pass(
    samples: Any,
    noise: str | Evidence,
    records: Sequence[SaliencyRun],
    passes: tuple[_Pass, _Pass],
    regions: str | None,
    gt_field: str,
    progress: Progress,
) -> tuple[_Pass, _Pass]:
    """Return the pass that `noise` repeats, and the second pass, over the samples that both have."""
    if isinstance(noise, Evidence):
        twin = next((one for one in passes if one.field == noise.field), None)
        if twin is None:
            fields = " or ".join(repr(one.field) for one in passes)
            raise ArgumentError(f"Expected `noise` to be a second pass of {fields}, but it is of {noise.field!r}.")
        row = {sample_id: i for i, sample_id in enumerate(twin.ids)}
        known = noise.select([i for i, sample_id in enumerate(noise.ids) if sample_id in row])
        truth = dict(zip(*samples.values(["id", f"{gt_field}.label"]), strict=True))
        right = correctness([truth[i] for i in known.ids], known.predictions, missing_is_wrong=False)
        rows = [row[i] for i in known.ids]
        evidence = None if twin.evidence is None else twin.evidence.select(rows)
        kept = _Pass(twin.field, known.ids, evidence, [twin.right[i] for i in rows])
        return kept, _Pass(noise.field, known.ids, known, right)
    run = runs.load(dataset_of(samples), noise)
    if run.key in {record.key for record in records}:
        raise ArgumentError(f"Expected `noise` to name a third run, but {noise!r} is one of the two. Compute another.")
    twin = passes[run.request.model == records[1].request.model]
    return twin, _read(samples, run, regions, gt_field, progress)


def _measure_floor(twin: _Pass, second: _Pass, sides: Sides | None) -> NoiseFloor:
    # Noise scatters on both sides, so that Student's interval is enough: nothing rare hides in it.
    reason = 0.0
    if sides is not None and twin.evidence is not None and second.evidence is not None:
        columns = (balance(evidence, sides) for evidence in (twin.evidence, second.evidence))
        reason = noise_of(difference(*columns, bounds=None))
    accuracy = noise_of(difference(twin.right, second.right, bounds=None))
    source = "a second pass" if second.field == twin.field else f"run {second.field!r}"
    return NoiseFloor(max(reason, STORAGE), accuracy, f"{source} beside {twin.field!r}")


def _reason(shares: Shares | None, sides: Sides | None, noise: float, min_effect: float, goal: float) -> Axis | None:
    if sides is None or shares is None:
        return None
    sides.check(shares.overall)
    movement = movement_of(shares.before, shares.after, sides)
    floor = max(noise, least_effect(min_effect, room(shares.before, sides)))
    return Axis("reason", movement, floor, summarise(right_reasons(shares.after, sides)), goal, SLACK)


def _withheld(records: Sequence[SaliencyRun]) -> str | None:
    """Say why maps are no evidence; runs whose maps were never checked are taken as they are."""
    failed = [(run.field, run.trust) for run in records if run.trust is not None and not run.trust.passed]
    told = [f"the maps in {field!r} failed their checks: {' '.join(trust.reasons)}" for field, trust in failed]
    return "; ".join(told) or None


def _compare_shares(before: Evidence, after: Evidence) -> Shares:
    by_class, by_cell = (share_changes_by(before, after, by) for by in ("class", "cell"))
    return Shares(before, after, share_changes(before, after), by_class, by_cell)


def _sides(regions: str | None, should_fall: Sequence[str], should_rise: Sequence[str]) -> Sides | None:
    for name, value in (("should_fall", should_fall), ("should_rise", should_rise)):
        if isinstance(value, str):
            raise ArgumentError(f"Expected `{name}` to be a list of region names, but got {value!r}. Pass [{value!r}].")
    if not (should_fall or should_rise):
        return None
    if regions is None:
        raise ArgumentError("Expected `regions` to say which ones should fall or rise, but got None. Name them.")
    return Sides(tuple(should_fall), tuple(should_rise))


def _pred_field(run: SaliencyRun) -> str:
    if run.request.pred_field is None:
        raise ArgumentError(
            f"Expected run {run.key} to explain stored predictions, but its target is {run.request.target!r}. "
            'Compare runs with target="predicted" and a `pred_field`.'
        )
    return run.request.pred_field
