"""What became of each sample between two predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

Outcome = Literal["fixed", "broken", "still right", "still wrong"]
OUTCOMES: tuple[Outcome, ...] = ("fixed", "broken", "still right", "still wrong")


def outcome(truth: str, before: str | None, after: str | None) -> Outcome:
    """Name what became of one sample; a missing prediction is a wrong one."""
    if before == truth:
        return "still right" if after == truth else "broken"
    return "fixed" if after == truth else "still wrong"


def count_outcomes(samples: Iterable[tuple[str | None, str | None, str | None]]) -> dict[Outcome, int]:
    """Count the outcomes of ``(truth, before, after)``; samples without a truth are left out."""
    counts = Counter(outcome(truth, before, after) for truth, before, after in samples if truth is not None)
    return {name: counts[name] for name in OUTCOMES}
