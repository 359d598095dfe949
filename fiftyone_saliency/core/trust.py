"""May a run's maps be believed? What was checked, what came out, and whether that is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fiftyone_saliency.core.statistics import Difference, Summary, difference, summarise

# The papers show what falls and what does not, but set no marks: these are ours.
MAX_CORRELATION = 0.3
MAX_HALFWAY = 0.6
MAX_DEAD = 0.1
MIN_COMPLETE = 0.9
MIN_GAIN = 0.1
State = Literal["ok", "weak", "FAIL", "–"]
_ALONE = "The model allows methods of one family only, so that there is none to agree with."


@dataclass(frozen=True, slots=True)
class TrustCheck:
    """One check of a run's maps.

    Args:
        name: ``"randomisation"``, ``"agreement"``, ``"evidence"`` or ``"completeness"``.
        value: what was measured, over the samples.
        passed: whether it is good enough; None where the check does not apply.
        reason: one sentence: what was found and what was demanded.
        details: further numbers, by name.
        weak: whether it passed by less than what counts.
    """

    name: str
    value: Summary
    passed: bool | None
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    weak: bool = False

    @property
    def state(self) -> State:
        """What came out, in a word; ``"–"`` where the check does not apply."""
        if self.passed is None:
            return "–"
        if not self.passed:
            return "FAIL"
        return "weak" if self.weak else "ok"

    def to_json(self) -> dict[str, Any]:
        """Return the check as plain JSON values."""
        rest = {name: getattr(self, name) for name in ("name", "passed", "weak", "state", "reason")}
        return {**rest, "value": self.value.to_json(), "details": dict(self.details)}


@dataclass(frozen=True, slots=True)
class Trust:
    """The verdict on a run.

    Args:
        run: key of the run.
        checks: what was checked.
        seed: seed of the subsample and of the drawn weights.
        failed: number of drawn samples that could not be read or explained again, and took no part.
    """

    run: str
    checks: tuple[TrustCheck, ...]
    seed: int
    failed: int = 0

    @property
    def passed(self) -> bool:
        """Whether no check failed, and at least one could be made."""
        verdicts = {check.passed for check in self.checks}
        return True in verdicts and False not in verdicts

    @property
    def reasons(self) -> list[str]:
        """Why the run did not pass, one sentence for each check that failed; empty if it passed."""
        failed = [check.reason for check in self.checks if check.passed is False]
        return failed or ([] if self.passed else ["No check could be made."])

    def __getitem__(self, name: str) -> TrustCheck:
        return {check.name: check for check in self.checks}[name]

    def __str__(self) -> str:
        weak = [check.name for check in self.checks if check.state == "weak"]
        head = f"{self.run}: " + ("may be believed" if self.passed else "not evidence")
        head += f", but its {' and '.join(weak)} is weak" if self.passed and weak else ""
        head += f" ({self.failed} drawn samples failed)" if self.failed else ""
        return "\n".join([head, *(f"{check.state:<4} {check.name:<14} {check.reason}" for check in self.checks)])

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as plain JSON values."""
        checks = [check.to_json() for check in self.checks]
        return {"run": self.run, "passed": self.passed, "seed": self.seed, "failed": self.failed, "checks": checks}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Trust:
        """Undo `to_json`."""
        checks: list[dict[str, Any]] = [{**check, "value": Summary(**check["value"])} for check in values["checks"]]
        for check in checks:
            check.pop("state", None)
        made = tuple(TrustCheck(**check) for check in checks)
        return cls(values["run"], made, values["seed"], values.get("failed", 0))


def judge_randomisation(stages: Mapping[float, Sequence[float | None]], known_to_fail: bool) -> TrustCheck:
    """Judge whether maps depend on what the network has learnt.

    Args:
        stages: rank correlation of the maps with the original ones, one per sample, by the share of layers drawn anew
            from the output down; the last share is 1. None where the original map is empty.
        known_to_fail: whether the method is on record for maps that do not depend on weights, or not on the class.

    Returns:
        Passed if the mean correlation is below 0.3 with all layers drawn anew, and below 0.6 from half of them on: a
        method that restores the image may fall only with the first layers. One that is known to fail does not pass
        because it happens to fall on one network.

    References:
        Adebayo et al. Sanity Checks for Saliency Maps. NeurIPS 2018, sec. 3. https://arxiv.org/abs/1810.03292
        Sixt, Granz, Landgraf. When Explanations Lie: Why Many Modified BP Attributions Fail. ICML 2020, sec. 5.
        https://arxiv.org/abs/1912.09818
    """
    curve = {f"{share:.2f}": summarise(column).mean for share, column in stages.items()}
    value = summarise(stages[max(stages)] if stages else [], bounds=None)
    halfway = max((curve[f"{share:.2f}"] or 0.0 for share in stages if 0.5 <= share < 1), default=None)
    reason = _told(value, halfway) if stages else "The model is a black box, whose weights cannot be drawn anew."
    passed = None
    if stages:
        passed = value.mean is not None and value.mean < MAX_CORRELATION and (halfway or 0.0) < MAX_HALFWAY
    if known_to_fail:
        passed = False
        reason += " The method is known for maps that depend too little on the weights, or not on the class."
    return TrustCheck("randomisation", value, passed, reason, {"by_share_of_layers": curve} if stages else {})


def judge_agreement(
    method: str, other: str | None, together: Sequence[float | None], by_chance: Sequence[float | None]
) -> TrustCheck:
    """Judge whether a method of another family finds the evidence in the same places.

    Args:
        method: the run's method.
        other: the other method, or None if the model allows none.
        together: rank correlation of the pooled maps of the two, one per sample; None where one map is empty.
        by_chance: of each map of the run with the other method's maps of *other* samples, on average: what two
            methods share that lean to the same part of the frame, whatever is in the image.

    Returns:
        Passed if the 95 % interval of the paired difference, together − by chance, lies above 0; weak unless it lies
        above 0.1.
    """
    value = summarise(together, bounds=None)
    if other is None:
        return TrustCheck("agreement", value, None, _ALONE)
    gain: Difference = difference(by_chance, together, bounds=None)
    passed = gain.low is not None and gain.low > 0
    weak = passed and gain.low is not None and gain.low <= MIN_GAIN
    reason = (
        f"{method} and {other} correlate by {value} on the same sample and by {summarise(by_chance, bounds=None)} on "
        f"different ones. {_gain(gain)}"
    )
    return TrustCheck("agreement", value, passed, reason, {"other": other, "gain": gain.to_json()}, weak)


def judge_evidence(dead: Sequence[bool]) -> TrustCheck:
    """Judge whether the stored maps show anything: passed if at most a tenth of them is without evidence."""
    value = summarise([float(one) for one in dead])
    passed = value.mean is not None and value.mean <= MAX_DEAD
    reason = f"Maps without any evidence: {value}; at most {MAX_DEAD:g} of them is allowed."
    return TrustCheck("evidence", value, passed, reason)


def judge_completeness(deltas: Sequence[float | None], most: float) -> TrustCheck:
    """Judge whether maps add up to what they explain.

    Args:
        deltas: by how much each map misses what it should add up to, as a share of it; None for methods that do not
            promise to add up.
        most: the largest share that counts as complete.

    Returns:
        Passed if at least nine of ten maps are complete; does not apply without any delta.
    """
    value = summarise([None if delta is None else float(delta <= most) for delta in deltas])
    if value.mean is None:
        return TrustCheck("completeness", value, None, "The method does not promise that its maps add up to anything.")
    reason = f"Maps that miss what they should add up to by at most {most:.0%}: {value}; {MIN_COMPLETE:g} is demanded."
    return TrustCheck("completeness", value, value.mean >= MIN_COMPLETE, reason)


def _gain(gain: Difference) -> str:
    """Say how much two methods agree beyond chance, and whether that is enough."""
    if gain.mean is None or gain.low is None:
        return "That is too few samples to tell them apart."
    found = f"The difference is {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
    if gain.low <= 0:
        return f"{found}, which may be chance."
    return f"{found}; surely above {MIN_GAIN:+g} is demanded, surely above 0 is weak."


def _told(value: Summary, halfway: float | None) -> str:
    """Say what became of the maps when weights were drawn anew."""
    found = "cannot be compared, for they are empty" if value.mean is None else f"correlate by {value} with before"
    text = f"With all weights drawn anew the maps {found}; below {MAX_CORRELATION:g} is demanded."
    if halfway is None:
        return text
    return f"{text} From half of the layers on it is {halfway:.3f}; below {MAX_HALFWAY:g} is demanded."
