"""Choose the number format of the trunk: the faster one, where the maps stay the same."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from fiftyone_saliency.core.types import Precision, SaliencyMap
from fiftyone_saliency.methods._registry import get_method, list_methods
from fiftyone_saliency.metrics.rank_correlation import rank_correlation
from fiftyone_saliency.models.folding import folded
from fiftyone_saliency.runtime.loading import LoadedImage
from fiftyone_saliency.runtime.worker import Explainer

PROBE = 8
MIN_SAMPLES = 500
MIN_CORRELATION = 0.999
MIN_SPEEDUP = 1.1
# x86 without AVX-512, where oneDNN has to emulate bfloat16.
_NARROW = {"DEFAULT", "NO AVX", "AVX2"}


@dataclass(frozen=True, slots=True)
class Choice:
    """A number format and why it was chosen.

    Args:
        precision: the trunk's number format.
        reason: what was measured, in words.
    """

    precision: Precision
    reason: str


def supports_bfloat16(explainer: Explainer) -> bool:
    """Return whether the device computes in bfloat16 and the network leaves the choice open."""
    model = explainer.model
    if model.dtype != torch.float32 or not model.differentiable:
        return False
    if model.device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # oneDNN brings bfloat16 to CPUs; macOS on arm64 comes without. Whether it is of use is measured.
    capable = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() not in _NARROW
    return model.device.type == "cpu" and capable


def in_precision(explainer: Explainer, precision: Precision) -> Explainer:
    """Return what explains in a number format.

    In bfloat16, batch normalisation is folded into the convolutions too, for methods that do not look at the single
    layers of the trunk; float32 runs the network as it was written.
    """
    layers = getattr(explainer.method, "layers", None)
    whole = layers is None and list_methods()[get_method(explainer.method)[0]].needs_network
    if precision == "float32" or whole:
        return replace(explainer, precision=precision)
    kept = () if layers is None else layers(explainer.model)
    return replace(explainer, precision=precision, model=folded(explainer.model, kept))


def choose_precision(wide: Explainer, narrow: Explainer, images: Sequence[LoadedImage]) -> Choice:
    """Explain a few images in both formats, and take bfloat16 if it is faster and ranks the pixels alike.

    Args:
        wide: explains in float32.
        narrow: explains in bfloat16, see `in_precision`.
        images: the probe, about `PROBE` of the images that will be explained.

    Returns:
        bfloat16 if it explains at least 1.1 times as fast and the maps' rank correlation (Spearman) with those of
        float32 is at least 0.999 on average; else float32.
    """
    if not images:
        return Choice("float32", "no image to try bfloat16 on")
    (wide_maps, slow), (narrow_maps, fast) = (_timed_maps(explainer, images) for explainer in (wide, narrow))
    speedup = slow / fast
    if speedup < MIN_SPEEDUP:
        return Choice("float32", f"bfloat16 is {speedup:.2f} times as fast")
    shared = [(narrow_maps[key].values, wide_maps[key].values) for key in wide_maps.keys() & narrow_maps.keys()]
    if len(narrow_maps) < len(wide_maps) or not shared:
        return Choice("float32", "there are no maps to compare")
    correlation = float(np.mean([_likeness(*pair) for pair in shared]))
    precision: Precision = "bfloat16" if correlation >= MIN_CORRELATION else "float32"
    return Choice(
        precision, f"bfloat16 is {speedup:.2f} times as fast, rank correlation with float32 {correlation:.4f}"
    )


def _timed_maps(explainer: Explainer, images: Sequence[LoadedImage]) -> tuple[dict[str, SaliencyMap], float]:
    """Return the maps of the first target by sample, and the seconds that one took in the faster half.

    The first half prepares its kernels, and other work on the machine may fall on either.
    """
    half = -(-len(images) // 2)
    maps: dict[str, SaliencyMap] = {}
    seconds = []
    for part in filter(None, (images[:half], images[half:])):
        start = time.perf_counter()
        maps |= {entry.sample_id: entry for entry in explainer(part)[0].results}
        seconds.append((time.perf_counter() - start) / len(part))
    return maps, min(seconds)


def _likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Return the rank correlation of two maps; two flat ones are alike, a flat one and another are not."""
    correlation = rank_correlation(one, other)
    return float(np.ptp(one) == np.ptp(other) == 0) if correlation is None else correlation
