"""How faithful maps are to their model, beside maps that know nothing of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fiftyone_saliency.core.intervals import Bounds
from fiftyone_saliency.core.statistics import SHARE, Difference, Summary, difference, summarise
from fiftyone_saliency.core.types import Failure

Measure = Literal["deletion", "insertion", "road", "infidelity", "sensitivity"]
MEASURES: tuple[Measure, ...] = ("deletion", "insertion", "road", "infidelity", "sensitivity")
_HIGHER_IS_BETTER = {"insertion"}
# How far a map misses what it should do has no upper bound.
_UNBOUNDED = {"infidelity", "sensitivity"}


@dataclass(frozen=True, eq=False)
class Measured:
    """One measure of faithfulness, one value per sample.

    Args:
        name: the measure.
        values: value of each sample's map; None where it is undefined.
        random: value of a random map, or of a random order of the pixels, for the same sample; None throughout for a
            measure that does not ask where the evidence lies.
    """

    name: str
    values: Sequence[float | None]
    random: Sequence[float | None]

    @property
    def higher_is_better(self) -> bool:
        """Whether more is more faithful."""
        return self.name in _HIGHER_IS_BETTER

    @property
    def bounds(self) -> Bounds:
        """Lowest and highest value that the measure can take, or None if it has no bounds."""
        return None if self.name in _UNBOUNDED else SHARE

    @property
    def summary(self) -> Summary:
        """Mean over the maps."""
        return summarise(self.values, self.bounds)

    @property
    def baseline(self) -> Summary:
        """Mean over the random maps: chance."""
        return summarise(self.random, self.bounds)

    @property
    def gain(self) -> Difference:
        """Paired difference to the random maps, signed so that above 0 the maps are the more faithful ones."""
        pair = (self.random, self.values) if self.higher_is_better else (self.values, self.random)
        # Two areas under the curves of one image lie close together: bounds of the measure would say nothing.
        return difference(*pair, None)

    @property
    def beats_random(self) -> bool | None:
        """Whether the 95 % interval of the gain lies above 0; None if it is undefined."""
        low = self.gain.low
        return None if low is None else low > 0

    def to_json(self) -> dict[str, Any]:
        """Return the summaries as plain JSON values."""
        parts = {name: getattr(self, name).to_json() for name in ("summary", "baseline", "gain")}
        return {**parts, "higher_is_better": self.higher_is_better, "beats_random": self.beats_random}


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """How faithful the maps of a run are, on a drawn subsample.

    Args:
        run: key of the run.
        ids: samples that were drawn.
        measures: by name, what was measured.
        settings: how: steps, substrate and what else decides the numbers.
        failures: samples among them that could not be measured, with reasons; their values are None.
    """

    run: str
    ids: Sequence[str]
    measures: Mapping[str, Measured]
    settings: Mapping[str, Any]
    failures: Sequence[Failure] = ()

    def __getitem__(self, measure: str) -> Measured:
        return self.measures[measure]

    def __str__(self) -> str:
        verdicts = {True: "better than random", False: "no better than random", None: ""}
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        failed = f", of which {len(self.failures)} failed" if self.failures else ""
        lines = [f"{self.run} on {len(self.ids)} samples{failed} ({settings})"]
        for name, one in self.measures.items():
            better = "higher" if one.higher_is_better else "lower"
            random = f"; random {one.baseline}; {verdicts[one.beats_random]}" if one.baseline.n else ""
            lines.append(f"{name:<12} {one.summary} ({better} is better){random}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return what was measured as plain JSON values."""
        measures = {name: one.to_json() for name, one in self.measures.items()}
        counts = {"n": len(self.ids), "failed": len(self.failures)}
        return {"run": self.run, **counts, "settings": dict(self.settings), "measures": measures}
