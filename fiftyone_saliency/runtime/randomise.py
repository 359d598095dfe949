"""Draw a network's weights anew, layer after layer from the output down, on a copy of it."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, nn

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.core.maps import select_sign
from fiftyone_saliency.core.types import Sign
from fiftyone_saliency.methods._registry import Method
from fiftyone_saliency.metrics.rank_correlation import rank_correlation
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch
from fiftyone_saliency.runtime.examples import maps_of


def cascade(model: ModelAdapter, stages: int, seed: int) -> Iterator[tuple[float, ModelAdapter]]:
    """Yield the share of layers that are drawn anew, and a copy of the model that has them, from the output down.

    Matrices and filters are drawn from a normal distribution that keeps the signal's size (He et al. 2015), biases
    become 0, and normalisation layers begin anew, running statistics included. Other vectors, such as the scales of
    residual branches, are shuffled. It is one and the same copy, drawn on: use it before the next one is asked for.
    The model itself is not touched; its memory is needed twice.

    Args:
        model: the model.
        stages: number of steps, at least 1; each draws an equal share of the layers, and the last one the rest.
        seed: seed of the drawn weights.

    Raises:
        ModelError: if the network cannot be copied.

    References:
        Adebayo et al. Sanity Checks for Saliency Maps. NeurIPS 2018, sec. 3.1 (cascading randomisation).
        https://arxiv.org/abs/1810.03292
        He, Zhang, Ren, Sun. Delving Deep into Rectifiers. ICCV 2015, eq. 10. https://arxiv.org/abs/1502.01852
    """
    drawn = model.twin(_copy(model))
    layers = list(reversed(_layers(drawn)))
    devices = [drawn.device] if drawn.device.type == "cuda" else []
    generator = Generator().manual_seed(seed)
    done = 0
    for stage in range(1, stages + 1):
        upto = round(stage / stages * len(layers))
        with torch.random.fork_rng(devices=devices):
            for layer in layers[done:upto]:
                _draw(layer, generator)
        done = upto
        yield stage / stages, drawn


def randomisation(
    method: Method, model: ModelAdapter, batch: Batch, sign: Sign, stages: int, seeds: Sequence[int]
) -> dict[float, list[float | None]]:
    """Compare the maps of a model with those of its randomised copies.

    It is the evidence as it is stored that is compared. By their magnitudes alone, maps that are multiplied by the
    image, such as those of Integrated Gradients, stay alike in any network.

    Args:
        method: the method.
        model: the model.
        batch: the images.
        sign: the evidence that the run stores.
        stages: see `cascade`.
        seeds: one seed for each time that the weights are drawn.

    Returns:
        By the share of layers that were drawn anew, the rank correlation of each image's map with the original one,
        mean over the seeds. A map that has become flat has lost its order, which counts as 0; None where the original
        one is flat.
    """
    originals = [select_sign(values, sign) for values in maps_of(method, model, batch)]
    found: dict[float, list[list[float | None]]] = defaultdict(list)
    for seed in seeds:
        for share, drawn in cascade(model, stages, seed):
            others = [select_sign(values, sign) for values in maps_of(method, drawn, batch)]
            found[share].append([_correlation(*pair) for pair in zip(originals, others, strict=True)])
    return {share: [_mean(row) for row in zip(*table, strict=True)] for share, table in found.items()}


def _correlation(original: NDArray[np.float32], other: NDArray[np.float32]) -> float | None:
    if np.ptp(original) == 0 or not np.isfinite(original).all():
        return None
    return (rank_correlation(original, other) if np.isfinite(other).all() else None) or 0.0


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return fmean(defined) if defined else None


def _copy(model: ModelAdapter) -> nn.Module:
    try:
        return copy.deepcopy(model.module)
    except Exception as error:
        raise ModelError(
            f"Expected the network to be copyable, so that its weights can be drawn anew, but got: {error}. Keep no "
            "tensors with a graph, no locks and no open files as attributes of its modules."
        ) from error


def _layers(model: ModelAdapter) -> list[nn.Module]:
    """Return the modules that hold parameters themselves, in the order in which one forward pass calls them.

    One that is never called itself, but used by the module around it, comes right after that one.
    """
    names = {module: name for name, module in model.module.named_modules()}
    called: dict[str, int] = {}

    def note(module: nn.Module, _: object) -> None:
        called.setdefault(names[module], len(called))

    handles = [module.register_forward_pre_hook(note) for module in names]
    try:
        with model.explaining(), torch.no_grad():
            model.logits(model.probe_image())
    finally:
        for handle in handles:
            handle.remove()
    own = [module for module in names if any(p.is_floating_point() for p in module.parameters(recurse=False))]
    # Python's sort keeps the order of what is equal.
    return sorted(own, key=lambda module: _place(names[module], called))


def _place(name: str, called: dict[str, int]) -> int:
    """Return when a module, or else the next one around it, was called."""
    while name and name not in called:
        name = name.rpartition(".")[0]
    return called.get(name, 0)


@torch.no_grad()
def _draw(layer: nn.Module, generator: Generator) -> None:
    """Draw a module's own parameters anew; on the CPU, so that every device gets the same."""
    reset = getattr(layer, "reset_parameters", None)
    if callable(reset):
        # For scales and running statistics of normalisation layers; filters and matrices are drawn below.
        reset()
    for name, parameter in layer.named_parameters(recurse=False):
        if not parameter.is_floating_point():
            continue
        if parameter.ndim >= 2:
            parameter.copy_(nn.init.kaiming_normal_(torch.empty(parameter.shape), generator=generator))
        elif "bias" in name:
            nn.init.zeros_(parameter)
        elif reset is None and parameter.ndim == 1:
            parameter.copy_(parameter[torch.randperm(parameter.numel(), generator=generator)])
