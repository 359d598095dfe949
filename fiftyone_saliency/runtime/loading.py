"""Read images upright and turn them into network inputs, in threads, one chunk ahead of the network."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from fiftyone_saliency.core.errors import ImageError
from fiftyone_saliency.core.files import FileState
from fiftyone_saliency.core.images import image_size, read_image
from fiftyone_saliency.core.types import Failure, Placement, SampleItem
from fiftyone_saliency.models.adapter import ModelAdapter


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """One image, ready for the network.

    Args:
        item: the sample.
        tensor: the network's input (C, H, W).
        placement: where that input lies in the image.
        size: height and width of the upright image in pixels.
        state: what the file was when it was read; None where that was not asked for.
    """

    item: SampleItem
    tensor: Tensor
    placement: Placement
    size: tuple[int, int]
    state: FileState | None = None


def size_of_first(filepaths: Iterable[str]) -> tuple[int, int] | None:
    """Return width and height of the first image that can be read, or None: what a probe should look like."""
    for filepath in filepaths:
        try:
            return image_size(filepath)
        except ImageError:
            continue  # it is recorded as a failure when its turn comes
    return None


def load_ahead(
    chunks: Iterable[Sequence[SampleItem]], model: ModelAdapter, num_workers: int, states: bool = False
) -> Iterator[list[LoadedImage | Failure]]:
    """Yield the chunks with their images loaded; the next chunk is read while this one is used.

    Args:
        chunks: samples in the order of the work.
        model: whose preprocessing is applied.
        num_workers: threads; 0 loads each chunk in the calling thread, when it is asked for.
        states: whether to say what each file was when it was read.
    """
    if num_workers == 0:
        yield from ([_load(item, model, states) for item in chunk] for chunk in chunks)
        return
    with ThreadPoolExecutor(num_workers, "saliency-load", initializer=_work_alone) as pool:
        ahead: list[Future[LoadedImage | Failure]] = []
        try:
            for chunk in chunks:
                current, ahead = ahead, [pool.submit(_load, item, model, states) for item in chunk]
                if current:
                    yield [future.result() for future in current]
            if ahead:
                yield [future.result() for future in ahead]
        finally:
            for future in ahead:
                future.cancel()


def _work_alone() -> None:
    """Keep PyTorch's work in this thread within it: each one would get helpers of its own, on the same cores."""
    # Asking makes PyTorch set up this thread, which would undo the limit later.
    torch.get_num_threads()
    threadpool_limits(1, "openmp")


def _load(item: SampleItem, model: ModelAdapter, states: bool) -> LoadedImage | Failure:
    try:
        # First, so that an image that is replaced in between is taken for changed later, not for current.
        state = FileState.of(item.filepath) if states and os.path.isfile(item.filepath) else None
        image = read_image(item.filepath)
        tensor, placement = model.prepare(image)
    except Exception as error:  # noqa: BLE001 - one bad image is one failure record, whatever broke
        return Failure(item.id, item.filepath, str(error) or type(error).__name__)
    # Channels last, as convolutions like it: done here, beside the network, and not where it waits for its batch.
    tensor = tensor[None].contiguous(memory_format=torch.channels_last)[0]
    return LoadedImage(item, tensor, placement, (image.height, image.width), state)
