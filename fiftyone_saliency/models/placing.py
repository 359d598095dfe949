"""Find where a network's input lies in the image by looking what an unknown transform does to coded pictures.

Each axis by itself: stripes over the image carry codes (see `models.markers`), so that it is seen between which
columns of the output one stripe ends and the next begins. A straight line through these edges is the placement. If few
stripes are seen, as after a crop, they are made finer there. Whole pixels are taken where the line allows it, and a
grid of other markers, which had no part in the fit, must lie where the placement says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fiftyone_saliency.core.types import Placement
from fiftyone_saliency.models.markers import Textures, Transform, balanced_codes, chosen, explained

_SEED = 51
_LENGTH = 8
_STRIPES = 32
_ROUNDS = 12
# So many lines of the output, spread over it, are looked at.
_LINES = 64
# Energy beside that of the strongest lines: less is an echo, as of a standardisation.
_FAINT = 0.05
# Share of the energy that follows one code: at the edge of two stripes it is a half.
_CLEAR = 0.3
_PURE = 0.9
# Lines between two stripes that a filter may mix.
_REACH = 5
# How far whole pixels may lie from the line that was measured, in pixels of the output.
_SNAP = 0.3
# With so few pixels that fewer edges are seen, what the image fills decides, if it is this near to the line.
_EDGES = 4
_NEAR = 1.5
Edges = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class _Line:
    """Position in the image = start + slope * position in the output, both in pixels, along one axis."""

    start: float
    slope: float

    def at(self, output: Any) -> Any:
        return self.start + self.slope * output


def measure(run: Transform, size: tuple[int, int], coarse: bool = False) -> Placement | None:
    """Return where the output of a transform lies in an image of ``(width, height)`` pixels.

    Args:
        run: the transform, from an RGB picture to a tensor (C, H, W).
        size: width and height of the image.
        coarse: whether the texture has large grains, which get through a threshold, or small ones, for filters.

    Returns:
        The placement, not proved yet; None if the markers do not lie in their order.
    """
    across, down = (_Axis(run, size, axis, coarse).measure() for axis in (0, 1))
    if across is None or down is None:
        return None
    (x, columns), (y, rows) = across, down
    return Placement(x.start / size[0], y.start / size[1], x.slope * columns / size[0], y.slope * rows / size[1])


@dataclass(frozen=True)
class _View:
    """What was seen of one set of stripes.

    Args:
        edges: their edges in the image, in pixels.
        shares: share of the change that follows each stripe's code, by line of the output (stripes, lines).
        energy: how much each line changes.
    """

    edges: Edges
    shares: Values
    energy: Values

    @property
    def strong(self) -> NDArray[np.bool_]:
        """Which lines of the output change with the image, and not only with its statistics."""
        top = float(np.quantile(self.energy, 0.9)) or float(self.energy.max())
        return self.energy > _FAINT * top if top > 0 else np.zeros(self.energy.shape, bool)

    def seen(self) -> NDArray[np.int64]:
        """Return the stripes that some line shows by itself."""
        return np.flatnonzero((self.shares * self.strong).max(axis=1) > 0.5)

    def crossings(self) -> tuple[Values, Values]:
        """Return where one stripe ends and the next begins, in the output and in the image."""
        most = np.maximum(self.shares[:-1], self.shares[1:])
        # A stripe that happens to change more than its neighbour reaches no further: in units of its own best line.
        pure = (self.shares * self.strong).max(axis=1) > _PURE
        own = np.where(pure, (self.shares * self.energy * self.strong).max(axis=1), np.nan)
        own = np.where(pure, own, np.nanmedian(own) if pure.any() else 1.0)[:, None]
        reach = np.sqrt(self.shares * self.energy / own)
        difference = reach[:-1] - reach[1:]
        known = self.strong[:-1] & self.strong[1:]
        ends = (difference[:, :-1] > 0) & (difference[:, 1:] <= 0)
        clear = np.minimum(most[:, :-1], most[:, 1:]) > _CLEAR
        stripe, line = np.nonzero(ends & clear & known)
        left, right = difference[stripe, line], difference[stripe, line + 1]
        found = dict(zip(stripe.tolist(), (line + 0.5 + left / (left - right)).tolist(), strict=True))
        where = self._gaps() | found
        return np.array(list(where.values())), self.edges[[j + 1 for j in where]].astype(float)

    def _gaps(self) -> dict[int, float]:
        """Return the middle between a stripe's last line and the next one's first, where a filter mixes both."""
        own = (self.shares > 0.5) & self.strong
        middles = {}
        for j in range(len(own) - 1):
            for last in np.flatnonzero(own[j]):
                following = own[j : j + 2, last + 1 : last + 1 + _REACH]
                if not following[0].any() and following[1].any():
                    middles[j] = float(last + 1 + np.argmax(following[1]) / 2)
        return middles


class _Axis:
    """One axis of the measurement: 0 for the columns, 1 for the rows."""

    def __init__(self, run: Transform, size: tuple[int, int], axis: int, coarse: bool) -> None:
        self._run, self._size, self._axis, self._coarse = run, size, axis, coarse
        self._pixels = size[axis]

    def measure(self) -> tuple[_Line, int] | None:
        """Return the line, and the number of lines of the output along this axis; None if there is no such line."""
        count = int(self._run(Image.new("RGB", self._size)).shape[2 - self._axis])
        window = (0, self._pixels)
        stripes = min(_STRIPES, self._pixels if self._pixels <= count else max(2, count // 2))
        view = self._look(window, stripes)
        line, used = _fit(*view.crossings())
        for _ in range(_ROUNDS):
            if line is not None and used >= _EDGES:
                return _snapped(line, self._pixels, count), count
            narrow = _narrow(view, window)
            if narrow != window:
                window = narrow
            elif stripes > 2:
                stripes //= 2
            else:
                break
            view = self._look(window, stripes)
            line, used = _fit(*view.crossings())
        filled = self._filled(view)
        if line is None or (filled is not None and _apart(filled, line, self._pixels, count) <= _NEAR):
            line = filled
        if line is None:
            return None
        return _snapped(line, self._pixels, count), count

    def _look(self, window: tuple[int, int], stripes: int) -> _View:
        """Send stripes over a part of the image through the transform."""
        low, high = window
        stripes = min(stripes, high - low)
        edges = np.unique(np.rint(np.linspace(low, high, stripes + 1)).astype(np.int64))
        codes = _sequence(len(edges) - 1)
        along = max(1, int((high - low) / stripes / (1 if self._coarse else 2)))
        # Longer across, so that a filter leaves some pixels with one grain alone, but many.
        other = self._size[1 - self._axis]
        across = max(1, min(other // _LINES, 4 * along * other // self._pixels))
        grain = (along, across) if self._axis == 0 else (across, along)
        textures = Textures(self._size, grain, _SEED, self._coarse)
        outputs = [self._lines(self._run(picture)) for picture in textures.stripes(codes, edges, self._axis)]
        follows, energy = explained(np.stack(outputs), codes)
        follows, energy = follows.sum(axis=2), energy.sum(axis=1)
        shares = np.divide(follows, energy, out=np.zeros_like(follows), where=energy > 0)
        return _View(edges, shares, energy)

    def _lines(self, output: Tensor) -> Values:
        """Return all lines along the axis, by some across it: (C, along, across)."""
        rows, columns = (np.arange(n) for n in output.shape[1:])
        if self._axis == 0:
            return chosen(output, _spread(len(rows)), columns).transpose(0, 2, 1)
        return chosen(output, rows, _spread(len(columns)))

    def _filled(self, view: _View) -> _Line | None:
        """Return the line of an image of few pixels: all of it fills what changes with it."""
        seen = view.seen()
        last = len(view.edges) - 2
        if not (len(seen) and seen[0] == 0 and seen[-1] == last and view.edges[-1] - view.edges[0] == self._pixels):
            return None
        lines = np.flatnonzero(view.energy > 0.25 * np.median(view.energy[view.strong]))
        slope = float(self._pixels / (lines[-1] + 1 - lines[0]))
        return _Line(-slope * float(lines[0]), slope)


def _sequence(stripes: int) -> Values:
    """Return one code per stripe, unlike and, between neighbours, uncorrelated where that can be had."""
    codes = balanced_codes(_LENGTH)
    order, left = [0], list(range(1, len(codes)))
    while len(order) < stripes:
        recent = codes[order[-2:]]
        following = min(left, key=lambda j: float(np.abs(recent @ codes[j]).sum()))
        order.append(following)
        left.remove(following)
    return codes[order]


def _spread(count: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(count, _LINES)).astype(np.int64))


def _narrow(view: _View, window: tuple[int, int]) -> tuple[int, int]:
    """Return the part of the image that was seen, with a stripe around it, if it is much smaller."""
    seen = view.seen()
    if not len(seen):
        return window
    last = len(view.edges) - 1
    low, high = int(view.edges[max(0, seen[0] - 1)]), int(view.edges[min(last, seen[-1] + 2)])
    return (low, high) if high - low <= 0.75 * (window[1] - window[0]) else window


def _fit(output: Values, image: Values) -> tuple[_Line | None, int]:
    """Fit a rising line through most of the points; return it and how many edges of the image lie on it."""
    best: NDArray[np.bool_] | None = None
    for i in range(len(output)):
        rise = output - output[i]
        with np.errstate(divide="ignore", invalid="ignore"):
            slopes = (image - image[i]) / rise
        for slope in slopes[np.isfinite(slopes) & (slopes > 0)]:
            near = np.abs(image - image[i] - slope * rise) <= 0.6 * slope
            if best is None or near.sum() > best.sum():
                best = near
    if best is None or len(np.unique(image[best])) < 2:
        return None, 0
    slope, start = np.polyfit(output[best], image[best], 1)
    return _Line(float(start), float(slope)), len(np.unique(image[best]))


def _snapped(line: _Line, pixels: int, count: int) -> _Line:
    """Return the line of whole pixels that lies next to the measured one, if one lies near enough.

    Whole pixels of the image, untouched by a resize; of the resized image; or of the image before a
    resize. Of the last two the coarser come first: one of the finer ones is near by chance.
    """
    resized, shift = max(1, round(pixels / line.slope)), round(line.start / line.slope)
    same = _Line(float(round(line.start)), 1.0)
    after = _Line(shift * pixels / resized, pixels / resized)
    before = _Line(float(round(line.start)), max(1, round(line.slope * count)) / count)
    coarser, finer = (after, before) if line.slope >= 1 else (before, after)
    for candidate, off in ((same, _SNAP), (coarser, _SNAP / 2), (finer, _SNAP / 2), (coarser, _SNAP), (finer, _SNAP)):
        if _apart(candidate, line, pixels, count) <= off:
            return candidate
    return line


def _apart(one: _Line, other: _Line, pixels: int, count: int) -> float:
    """Return how far two lines are apart in what the output shows of the image, in pixels of the output."""
    ends = np.array([max(0.0, -other.start / other.slope), min(count, (pixels - other.start) / other.slope)])
    return float(np.abs(one.at(ends) - other.at(ends)).max() / other.slope)
