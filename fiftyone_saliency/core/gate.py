"""A gate: limits that a model's reasons have to keep, and whether they do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from fiftyone_saliency.core.checks import check_choice, check_int, check_range
from fiftyone_saliency.core.comparison import correctness
from fiftyone_saliency.core.errors import ArgumentError, UnknownNameError
from fiftyone_saliency.core.evidence import Evidence
from fiftyone_saliency.core.hiding import HiddenRegion
from fiftyone_saliency.core.intervals import MIN_COUNT
from fiftyone_saliency.core.reasons import Reason, Reasons
from fiftyone_saliency.core.statistics import Summary, summarise

Rule = Literal["trust", "min_accuracy", "max_wrong_reason", "max_share", "min_share", "min_needed"]
Bound = Literal["interval", "mean"]
BOUNDS: tuple[Bound, ...] = ("interval", "mean")
Scope = Literal["overall", "class"]
SCOPES: tuple[Scope, ...] = ("overall", "class")
MIN_SAMPLES = 10
# A mean of equal values is off by rounding: it still keeps the limit that it is equal to.
_ROUNDING = 1e-9
_WHAT = {
    "min_accuracy": "accuracy",
    "max_wrong_reason": "right for a wrong reason or none",
    "min_needed": "answers that change without {}, above the control",
}


@dataclass(frozen=True)
class Limits:
    """What is demanded of a model's reasons; all limits are shares in [0, 1].

    Args:
        max_share: by region, the most of the evidence that may lie there on average.
        min_share: by region, the least of the evidence that must lie there on average.
        min_needed: by region, the least share of the answers that must change when it is hidden from the model, beyond
            what hiding as much of the image elsewhere changes. A map can point at a region that the answer does not
            need; this asks the model.
        min_accuracy: the least accuracy over samples with a truth, or None; a missing prediction is a wrong one.
        max_wrong_reason: the largest share of right predictions that may rest on a region that is not right, or on no
            region at all, or None.
        by: ``"overall"`` holds all samples together to the limits, ``"class"`` each true class by itself as well.
        bound: ``"interval"`` demands that the whole 95 % interval keeps the limit, ``"mean"`` that the mean does.
        min_samples: a mean over fewer samples proves nothing and keeps no limit, at least 1; fewer than four have no
            interval either.
    """

    max_share: Mapping[str, float] = field(default_factory=dict[str, float])
    min_share: Mapping[str, float] = field(default_factory=dict[str, float])
    min_needed: Mapping[str, float] = field(default_factory=dict[str, float])
    min_accuracy: float | None = None
    max_wrong_reason: float | None = None
    by: Scope = "overall"
    bound: Bound = "interval"
    min_samples: int = MIN_SAMPLES

    def __post_init__(self) -> None:
        check_choice(self.by, "by", SCOPES)
        check_choice(self.bound, "bound", BOUNDS)
        check_int(self.min_samples, "min_samples", 1)
        rules = self.rules()
        if not rules:
            raise ArgumentError('Expected at least one limit, but got none. Pass one, such as max_share={"head": 0.3}.')
        for rule, region, limit in rules:
            check_range(limit, rule if region is None else f"{rule}[{region!r}]", 0, 1)

    def rules(self) -> list[tuple[Rule, str | None, float]]:
        """Return each limit as rule, region (None where it is about no region) and number."""
        rules: list[tuple[Rule, str | None, float]] = []
        if self.min_accuracy is not None:
            rules.append(("min_accuracy", None, self.min_accuracy))
        if self.max_wrong_reason is not None:
            rules.append(("max_wrong_reason", None, self.max_wrong_reason))
        rules.extend(("max_share", region, limit) for region, limit in self.max_share.items())
        rules.extend(("min_share", region, limit) for region, limit in self.min_share.items())
        rules.extend(("min_needed", region, limit) for region, limit in self.min_needed.items())
        return rules


@dataclass(frozen=True, slots=True)
class Check:
    """One limit, held against what was measured.

    Args:
        rule: the limit's name; ``"trust"`` is whether the maps may be read at all.
        passed: whether the limit is kept.
        text: one line: what was measured, over how many samples, and what the limit is or why there is no verdict.
        region: the region that the limit is about, or None.
        label: the true class that it was asked of; None for all samples.
        limit: the limit, in [0, 1]; None for ``"trust"``.
        value: what was measured; None for ``"trust"``.
    """

    rule: Rule
    passed: bool
    text: str
    region: str | None = None
    label: str | None = None
    limit: float | None = None
    value: Summary | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the check as plain JSON values."""
        names = ("rule", "passed", "region", "label", "limit", "text")
        return {name: getattr(self, name) for name in names} | {"value": self.value and self.value.to_json()}


@dataclass(frozen=True)
class Gate:
    """Whether all limits are kept.

    Args:
        checks: one for each limit, and for each class where that was asked for.
        proposal: a question that nobody asked and how to ask it, in one sentence; None where there is none.
    """

    checks: tuple[Check, ...]
    proposal: str | None = None

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def __str__(self) -> str:
        failed = sum(not check.passed for check in self.checks)
        verdict = "passed" if self.passed else f"failed: {failed} of {len(self.checks)} checks"
        lines = [f"{'ok  ' if check.passed else 'FAIL'} {check.text}" for check in self.checks]
        return "\n".join([*lines, verdict, *([] if self.proposal is None else [self.proposal])])

    def to_json(self) -> dict[str, Any]:
        """Return the verdict and all checks as plain JSON values."""
        checks = [check.to_json() for check in self.checks]
        return {"passed": self.passed, "checks": checks, "proposal": self.proposal}


def judge(reasons: Reasons, limits: Limits, hidden: Mapping[str, HiddenRegion] = MappingProxyType({})) -> Gate:
    """Hold what was measured against limits.

    What is undefined keeps no limit: no evidence is no good evidence.

    Args:
        reasons: what was measured.
        limits: what is demanded.
        hidden: by region, what hiding it from the model did, for ``min_needed``.

    Raises:
        UnknownNameError: if a limit names a region that is none of the table's.
        ArgumentError: if ``max_wrong_reason`` is given and no right regions were named, or ``min_needed`` for a region
            that was not hidden.
    """
    check_names(limits, reasons.regions, reasons.right_regions)
    for name in limits.min_needed:
        if name not in hidden:
            raise ArgumentError(f"Expected what hiding {name!r} does, for `min_needed`, but got None. Pass a model.")
    return Gate(tuple(_checks(reasons, limits, hidden)), propose(reasons, limits))


def check_names(limits: Limits, regions: Sequence[str], right: Sequence[str]) -> None:
    """Raise unless limits are about regions that there are.

    Raises:
        UnknownNameError: if a limit names a region that is none of them.
        ArgumentError: if ``max_wrong_reason`` is given and no right regions were named.
    """
    for name in (*limits.max_share, *limits.min_share, *limits.min_needed):
        if name not in regions:
            raise UnknownNameError("region", name, regions)
    if limits.max_wrong_reason is not None and not right:
        raise ArgumentError("Expected `right` to name the right regions for `max_wrong_reason`, but it is empty.")


def propose(reasons: Reasons, limits: Limits) -> str | None:
    """Propose to hide the region that the evidence should lie in, where nobody asked whether the answers need it."""
    wanted = [*reasons.right_regions, *limits.min_share]
    if limits.min_needed or not wanted:
        return None
    name = wanted[0]
    return (
        f"Not asked: whether the answers need {name!r}. A map can point at a region that the model does not use; "
        f"min_needed={{{name!r}: 0.3}} with the model hides it and counts the answers that change."
    )


def wrong_reasons(evidence: Evidence, right: Sequence[str]) -> Summary:
    """Return the share of right predictions without a right reason, in [0, 1].

    Their maps prefer a region that is not right, or none to chance: what rests on nothing does not rest on what it
    should.
    """
    correct = correctness(evidence.truths, evidence.predictions)
    rows = evidence.select([i for i, value in enumerate(correct) if value == 1])
    return summarise([None if value is None else 1 - value for value in rows.right(right)])


def _checks(reasons: Reasons, limits: Limits, hidden: Mapping[str, HiddenRegion]) -> Iterator[Check]:
    groups: dict[str | None, tuple[Reason, Evidence]] = {None: (reasons.overall, reasons.evidence)}
    if limits.by == "class":
        rows = reasons.evidence.groups("class")
        groups |= {label: (one, rows[label]) for label, one in reasons.classes.items() if isinstance(label, str)}
    for rule, region, limit in limits.rules():
        for label, (reason, evidence) in groups.items():
            if region is None:
                value = _measure(rule, evidence, reasons.right_regions)
            else:
                value = _needed(hidden[region], evidence) if rule == "min_needed" else _share(reason, region)
            yield _check(rule, region, label, limit, value, limits)


def _needed(hidden: HiddenRegion, samples: Evidence) -> Summary:
    """Return the share of the samples' answers that change when a region is hidden, minus that of the controls."""
    chosen = set(samples.ids)
    change = hidden.select([i for i, sample_id in enumerate(hidden.ids) if sample_id in chosen]).flip_difference
    return Summary(change.mean, change.low, change.high, change.n, change.undefined)


def _share(reason: Reason, region: str) -> Summary:
    share = reason.shares[region]
    return Summary(share.mean, share.low, share.high, share.n, share.undefined)


def _measure(rule: Rule, rows: Evidence, right: Sequence[str]) -> Summary:
    if rule == "min_accuracy":
        return summarise(correctness(rows.truths, rows.predictions))
    return wrong_reasons(rows, right)


def _check(rule: Rule, region: str | None, label: str | None, limit: float, value: Summary, limits: Limits) -> Check:
    below = rule.startswith("max")
    held = value.mean if limits.bound == "mean" else value.high if below else value.low
    problem = None
    if value.mean is None:
        problem = "undefined in every sample"
    elif value.n < limits.min_samples:
        problem = f"fewer than {limits.min_samples} samples"
    elif held is None:
        problem = f"fewer than {MIN_COUNT} samples"
    kept = problem is None and held is not None and (held <= limit + _ROUNDING if below else held >= limit - _ROUNDING)
    what = _WHAT.get(rule, "evidence: {}").format(region)
    text = what + ("" if label is None else f", {label}") + f" {value}, {'at most' if below else 'at least'} {limit:g}"
    return Check(rule, kept, text + ("" if problem is None else f": {problem}"), region, label, limit, value)
