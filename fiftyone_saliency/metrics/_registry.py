"""The one list of measures of a single map; a new measure is one new file in this folder and one line here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fiftyone_saliency.core.errors import UnknownNameError
from fiftyone_saliency.metrics.border_mass import border_mass
from fiftyone_saliency.metrics.concentration import entropy, gini
from fiftyone_saliency.metrics.overlap import overlap
from fiftyone_saliency.metrics.pointing_game import pointing_game
from fiftyone_saliency.metrics.rank_accuracy import rank_accuracy
from fiftyone_saliency.metrics.share import evidence_share


@dataclass(frozen=True)
class MeasureInfo:
    """A measure of one map.

    Args:
        name: registered name, such as ``"share"``; the attribute that holds its values begins with it.
        title: the name that people read.
        function: takes a map (H, W), and a region (H, W) if it needs one; returns None where it is undefined.
        needs_region: whether it says something of a map and a region, or of a map alone.
        higher_is_better: for measures of a region, if the region is where the evidence should lie; None for
            measures that are neither good nor bad.
        paper: link to the paper.
        range: lowest and highest value.
    """

    name: str
    title: str
    function: Callable[..., float | None]
    needs_region: bool
    higher_is_better: bool | None
    paper: str
    range: tuple[float, float] = (0.0, 1.0)

    @property
    def summary(self) -> str:
        """What it measures, in one line: the first of the function's docstring."""
        return (self.function.__doc__ or "").strip().splitlines()[0]


_ALL = (
    MeasureInfo("share", "Evidence share", evidence_share, True, True, "https://arxiv.org/abs/1910.01279"),
    MeasureInfo("pointing_game", "Pointing game", pointing_game, True, True, "https://arxiv.org/abs/1608.00507"),
    MeasureInfo("rank_accuracy", "Rank accuracy", rank_accuracy, True, True, "https://arxiv.org/abs/2003.07258"),
    MeasureInfo("overlap", "Overlap (IoU)", overlap, True, True, "https://arxiv.org/abs/1512.04150"),
    MeasureInfo("entropy", "Entropy", entropy, False, None, "https://arxiv.org/abs/2005.00631"),
    MeasureInfo("gini", "Gini index", gini, False, None, "https://doi.org/10.1109/TIT.2009.2027527"),
    MeasureInfo("border_mass", "Border mass", border_mass, False, False, "https://arxiv.org/abs/2010.02178"),
)
MEASURES = {info.name: info for info in _ALL}


def get_measures(names: Iterable[str]) -> list[MeasureInfo]:
    """Return the measures of the given names, in their order.

    Raises:
        UnknownNameError: if there is none of a name.
    """
    names = list(names)
    for name in names:
        if name not in MEASURES:
            raise UnknownNameError("measure", name, MEASURES)
    return [MEASURES[name] for name in names]
