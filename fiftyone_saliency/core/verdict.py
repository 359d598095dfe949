"""Was it fixed? A verdict in words on two axes, reason and accuracy, that is no bolder than the numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from fiftyone_saliency.core.intervals import LEVEL
from fiftyone_saliency.core.statistics import Difference, Summary

Word = Literal["fixed", "moved, not proven", "unchanged", "worse"]
AxisName = Literal["reason", "accuracy"]
MIN_EFFECT = 0.05
# Measured on networks with a planted cue (benchmarks/small_pairs.py): with 140 pictures, clean ones rest on the right
# regions in .88 to 1 of them, those that were trained with the cue in nine of ten pictures in .16 to .86.
GOOD_REASON = 0.875
GOOD_ACCURACY = 0.9
# How far the low end of an interval may lie below a goal that the mean reaches. Without it a state of .95 would not
# surely reach .9 in 140 samples, and hardly any real fix of few samples would be called one.
SLACK = 0.1
# A movement counts from a quarter of what there was to move on: a small cue cannot fall by `MIN_EFFECT`.
PART = 0.25
_GOAL = {"reason": "of the samples rest on the right regions", "accuracy": "are predicted right"}


@dataclass(frozen=True, slots=True)
class Axis:
    """What happened on one axis.

    Two questions decide, and "fixed" needs both. *Did it move?* The movement is proven where its whole interval
    lies beyond the floor and its test is significant. *Is it good now?* A wrong reason may halve and still be what
    decides, so the state after is held against a goal, which the mean has to reach and the low end of its interval
    nearly.

    - "fixed": proven in the right direction, and good now.
    - "moved, not proven": beyond the floor, but the interval is not (in either direction), or not good now.
    - "worse": proven in the wrong direction.
    - "unchanged": the mean movement lies within the floor.

    Args:
        name: "reason": the movement is that of the share of evidence towards the right regions, the state the share
            of samples that rest on them. "accuracy": the movement is that of accuracy, the state is the accuracy.
        movement: paired difference, positive in the wanted direction, with interval and p-value.
        floor: movements up to here count as none: the larger of noise and the least effect of interest.
        state: the state after, in [0, 1].
        goal: the state that is good enough, in [0, 1].
        slack: how far the low end of the state's interval may lie below the goal, if its mean reaches it.
    """

    name: AxisName
    movement: Difference
    floor: float
    state: Summary
    goal: float
    slack: float = 0.0

    @property
    def good(self) -> bool:
        """Whether the state after reaches the goal: in the mean, and surely but for the slack."""
        mean, low = self.state.mean, self.state.low
        return mean is not None and low is not None and mean >= self.goal and low >= self.goal - self.slack

    @property
    def word(self) -> Word | None:
        """The verdict on this axis; None if fewer than two samples have both values."""
        m = self.movement
        if m.mean is None or m.low is None or m.high is None or m.p is None:
            return None
        significant = m.p <= 1 - LEVEL
        if significant and m.high < -self.floor:
            return "worse"
        if significant and m.low > self.floor and self.good:
            return "fixed"
        return "moved, not proven" if abs(m.mean) > self.floor else "unchanged"

    @property
    def why(self) -> str:
        """The numbers behind the word, as a sentence."""
        m, s = self.movement, self.state
        if m.mean is None or m.low is None or s.mean is None or s.low is None:
            return "too few samples have both values"
        moved = f"moved by {m.mean:+.3f} [{m.low:+.3f}, {m.high:+.3f}], which counts beyond {self.floor:.3f}"
        reached = "reached" if self.good else "not reached" if s.mean < self.goal else "not surely reached"
        state = f"now {s.mean:.1%} [{s.low:.1%}, {s.high:.1%}] {_GOAL[self.name]}"
        return f"{moved}; {state} (goal {self.goal:.4g}, {reached})"

    def to_json(self) -> dict[str, Any]:
        """Return the axis as plain JSON values."""
        return {
            "word": self.word,
            "why": self.why,
            "movement": self.movement.to_json(),
            "floor": self.floor,
            "state": self.state.to_json(),
            "goal": self.goal,
            "slack": self.slack,
            "good": self.good,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on both axes.

    Accuracy can rise while the map stays as it was (the model leans on a cue that the map does not show, or the
    data changed and not the reason), and evidence can move without a gain. So the axes are judged apart and only
    together make "fixed": the reason is fixed, and accuracy is good and not worse, whether it rose to that or was
    good all along. One axis that is worse makes the whole worse; one that moved makes it "moved, not proven".

    Args:
        reason: the axis of reasons; None if no regions were named.
        accuracy: the axis of accuracy.
        withheld: why there is no verdict in spite of the numbers, such as a map that failed a trust check; or None.

    References:
        Yang, Kim. Benchmarking Attribution Methods with Relative Feature Importance. 2019 (model contrast score).
        https://arxiv.org/abs/1907.09701
        Adebayo et al. Post hoc Explanations may be Ineffective for Detecting Unknown Spurious Correlation. ICLR 2022.
        https://arxiv.org/abs/2212.04629
    """

    reason: Axis | None
    accuracy: Axis
    withheld: str | None = None

    @property
    def word(self) -> Word | None:
        """The verdict on the whole; None where it is withheld or an axis could not be judged."""
        if self.withheld is not None or self.reason is None:
            return None
        words = (self.reason.word, self.accuracy.word)
        if None in words:
            return None
        if "worse" in words:
            return "worse"
        if self.reason.word == "fixed" and self.accuracy.good:
            return "fixed"
        return "unchanged" if words == ("unchanged", "unchanged") else "moved, not proven"

    def __str__(self) -> str:
        reason = "not judged: name regions that should fall or rise" if self.reason is None else _shown(self.reason)
        whole = f"withheld: {self.withheld}" if self.withheld is not None else self.word or "undecided"
        return f"verdict: {whole}\n  reason: {reason}\n  accuracy: {_shown(self.accuracy)}"

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as plain JSON values."""
        return {
            "word": self.word,
            "withheld": self.withheld,
            "reason": None if self.reason is None else self.reason.to_json(),
            "accuracy": self.accuracy.to_json(),
        }


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """How far two passes of one model lie apart: a movement up to here is none.

    Args:
        reason: largest mean movement of the reason axis that the interval between the two passes allows, at least 0.
        accuracy: the same of accuracy.
        source: what the second pass was; None if there was none, and the numbers are only what storage can do.
    """

    reason: float
    accuracy: float
    source: str | None

    def __str__(self) -> str:
        source = f"from {self.source}" if self.source is not None else "not measured, from 8-bit storage alone"
        return f"noise floor: reason {self.reason:.3f}, accuracy {self.accuracy:.3f} ({source})"

    def to_json(self) -> dict[str, Any]:
        """Return the floor as plain JSON values."""
        return {"reason": self.reason, "accuracy": self.accuracy, "source": self.source}


def noise_of(passes: Difference) -> float:
    """Return the largest mean movement that the interval between two passes allows; 0 with fewer than two pairs."""
    return max((abs(end) for end in (passes.low, passes.high) if end is not None), default=0.0)


def _shown(axis: Axis) -> str:
    return f"{axis.word or 'undecided'} ({axis.why})"


def least_effect(min_effect: float, room: float | None) -> float:
    """Return the movement that counts: `min_effect`, or a quarter of what there is to move on, where that is less."""
    return min_effect if room is None else min(min_effect, PART * room)
