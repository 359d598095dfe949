"""What hiding a region does to the answers of a model, beside hiding as much of the image elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.statistics import TOO_FEW, Difference, Summary, difference, summarise
from fiftyone_saliency.core.types import Failure

Fill = Literal["blur", "mean", "swap"]
FILLS: tuple[Fill, ...] = ("blur", "mean", "swap")
# A control that shares up to this part of the region's area counts as lying outside it.
_TOUCHING = 0.01


@dataclass(frozen=True, slots=True)
class Hidden:
    """What hiding did to one sample.

    Args:
        area: share of what the network sees of the image that was hidden, in [0, 1]; padding is no part of it.
        flip: 1 if the model's answer changed, else 0; a tie within rounding is no change.
        control_flip: share of the controls that changed it.
        logit_change: logit of the intact answer with the region hidden − intact; below 0 where the region spoke for it,
            exactly 0 where it is within rounding.
        control_logit_change: the same for the controls, their mean.
        overlap: share of the region that the controls hide too, in [0, 1], their mean: 0 unless the region is so
            large that there is no other place of its size.
    """

    area: float
    flip: float
    control_flip: float
    logit_change: float
    control_logit_change: float
    overlap: float


@dataclass(frozen=True, eq=False)
class HiddenRegion:
    """The effect of hiding a region, one row per sample.

    Args:
        regions: name of the regions.
        region: the region that was hidden.
        fill: what it was replaced by.
        ids: sample ids.
        truths: true label of each sample, or None.
        predictions: stored predicted label of each sample, or None.
        rows: what hiding did; None where it is undefined: no such region, or none of it in the network's input.
        failures: samples that could not be read or whose logits are not finite; their rows are None too.
    """

    regions: str
    region: str
    fill: Fill
    ids: Sequence[str]
    truths: Sequence[str | None]
    predictions: Sequence[str | None]
    rows: Sequence[Hidden | None]
    failures: Sequence[Failure] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> list[float | None]:
        """Return one attribute of `Hidden` for each sample, None where it is undefined."""
        return [None if row is None else float(getattr(row, name)) for row in self.rows]

    def select(self, rows: Sequence[int]) -> HiddenRegion:
        """Return the table of some of the rows, such as those of a confusion cell."""
        columns = [[column[i] for i in rows] for column in (self.ids, self.truths, self.predictions, self.rows)]
        chosen = {self.ids[i] for i in rows}
        failures = [failure for failure in self.failures if failure.sample_id in chosen]
        return HiddenRegion(self.regions, self.region, self.fill, *columns, failures)  # type: ignore[arg-type]

    @property
    def flips(self) -> Summary:
        """Share of the samples whose answer changed when the region was hidden."""
        return summarise(self.column("flip"))

    @property
    def control_flips(self) -> Summary:
        """Mean share of the controls that changed the answer: chance."""
        return summarise(self.column("control_flip"))

    @property
    def flip_difference(self) -> Difference:
        """Paired difference of flips, region − controls: above 0 the region decides more than its size does."""
        return difference(self.column("control_flip"), self.column("flip"))

    @property
    def logit_change(self) -> Summary:
        """Mean change of the answer's logit when the region was hidden, in logits."""
        return summarise(self.column("logit_change"), bounds=None)

    @property
    def control_logit_change(self) -> Summary:
        """The same when the controls were hidden."""
        return summarise(self.column("control_logit_change"), bounds=None)

    @property
    def logit_difference(self) -> Difference:
        """Paired difference of logit changes, region − controls: below 0 the region speaks for the answer."""
        return difference(self.column("control_logit_change"), self.column("logit_change"), bounds=None)

    def __str__(self) -> str:
        head = f"{self.region!r} hidden by {self.fill}, beside areas of its size elsewhere"
        pairs = (
            ("answers changed", self.flips, self.control_flips, self.flip_difference),
            ("change of the logit", self.logit_change, self.control_logit_change, self.logit_difference),
        )
        lines = [f"{name:<20} {hidden}; elsewhere {control}; {_told(d)}" for name, hidden, control, d in pairs]
        return "\n".join([head, *lines])

    def to_json(self) -> dict[str, Any]:
        """Return what was found as plain JSON values."""
        measures = ("flips", "control_flips", "flip_difference")
        measures += ("logit_change", "control_logit_change", "logit_difference")
        named = {"regions": self.regions, "region": self.region, "fill": self.fill}
        return {**named, **{name: getattr(self, name).to_json() for name in measures}}


def shifted(
    weights: NDArray[np.float32], inside: tuple[slice, slice], count: int, seed: int
) -> list[NDArray[np.float32]]:
    """Shift a region to drawn places beside itself: controls of the same shape and area.

    A control is drawn among all shifts that do not cut the region at the border and leave it (they share at most 1 %
    of it). Where the region is too large for that, it is drawn among the shifts that share least of it, and what
    leaves the image on one side comes in on the other, so that the area stays the same.

    Args:
        weights: region (H, W) in [0, 1] in the network's input, not empty.
        inside: rows and columns of the input that show the image: no control lies in the padding.
        count: number of controls.
        seed: seed of the draw.

    Returns:
        ``count`` regions (H, W); if fewer places are left than that, some are equal.
    """
    window = weights[inside]
    overlaps = _overlaps(window)
    allowed = ~_wrapped(window) & (overlaps <= _TOUCHING)
    if not allowed.any():
        allowed = overlaps <= overlaps.min() + _TOUCHING
    places = np.flatnonzero(allowed)
    drawn = np.random.default_rng(seed).choice(places, count, replace=len(places) < count)
    controls: list[NDArray[np.float32]] = []
    for shift in drawn:
        control = np.zeros_like(weights)
        control[inside] = np.roll(window, np.unravel_index(int(shift), window.shape), (0, 1))
        controls.append(control)
    return controls


def overlap(region: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the share of a region, in [0, 1], that lies in another one; both (H, W) in [0, 1]."""
    return float(np.minimum(region, other).sum() / region.sum())


def _overlaps(window: NDArray[np.float32]) -> NDArray[np.float64]:
    """Share of the region that each shift (rows, columns) of it still covers: its circular autocorrelation."""
    spectrum = np.fft.rfft2(window.astype(np.float64))
    correlation = np.fft.irfft2(spectrum * spectrum.conj(), window.shape)
    return correlation / correlation[0, 0]


def _wrapped(window: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each shift (rows, columns) carries a part of the region over the border."""
    down, across = (
        _carried(np.unique(places), size) for places, size in zip(window.nonzero(), window.shape, strict=True)
    )
    return down[:, None] | across[None, :]


def _carried(lines: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
    """Whether each shift along one side carries one of the region's lines, in rising order, over the border."""
    first, last = int(lines[0]), int(lines[-1])
    shifts = np.arange(size)
    # A shift by s is one by s − size as well: it fits if either keeps all lines inside.
    fits = (last + shifts < size) | (first + shifts - size >= 0)
    return ~fits


def _told(change: Difference) -> str:
    if change.mean is None:
        return "difference undefined"
    interval = f" ({TOO_FEW})" if change.low is None else f" [{change.low:+.3f}, {change.high:+.3f}]"
    return f"difference {change.mean:+.3f}{interval}" + ("" if change.p is None else f", p = {change.p:.2g}")
