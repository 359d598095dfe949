"""What to do with a collection that is no dataset of images: each piece of advice can be followed to the letter."""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

from typing import Any

import fiftyone as fo

_FRAMES = (
    "Make a dataset of its frames with samples.to_frames(sample_frames=True).clone(), or, where the frames have images "
    "of their own already, with samples.to_frames().clone()."
)


def why_no_images(samples: Any) -> str | None:
    """Return what a collection is and how to get a dataset or view of images from it; None if it is one.

    Args:
        samples: dataset or view of FiftyOne.
    """
    if samples.media_type not in (None, fo.core.media.IMAGE):
        return (
            f"Expected a dataset of images, but got media type {samples.media_type!r}. {_advice(samples)} Pass the "
            "result instead of `samples`."
        )
    if samples._dataset is samples._root_dataset:
        return None
    if samples._is_frames and not samples._is_patches:
        return (
            "Expected a dataset or a view of its images, but got a generated view of a video's frames, whose samples "
            "are not the dataset's. Make a dataset of them with samples.clone(), and pass it instead of `samples`."
        )
    what = f"fiftyone.load_dataset({samples._root_dataset.name!r}).select(samples.distinct('sample_id'))"
    return (
        "Expected a dataset or a view of its images, but got a generated view, such as patches, whose samples are "
        f"not the dataset's. Pass the view that it was made from, or {what}."
    )


def _advice(samples: Any) -> str:
    media_type = samples.media_type
    if media_type == fo.core.media.VIDEO:
        return _FRAMES
    if media_type == fo.core.media.GROUP and samples._is_dynamic_groups:
        return "Take the images out of the groups with samples.flatten()."
    dataset = samples._root_dataset
    kinds = set((dataset.group_media_types or {}).values()) if media_type in ("group", "mixed") else set()
    if fo.core.media.IMAGE in kinds:
        # A view of several slices cannot be cut down to some of them.
        source = f"fiftyone.load_dataset({dataset.name!r})" if media_type == "mixed" else "samples"
        return f"Take its images with {source}.select_group_slices(media_type='image')."
    if fo.core.media.VIDEO in kinds:
        return "Take its videos with samples.select_group_slices(media_type='video') first, then their frames."
    return "It has no images: load a dataset of images with fiftyone.load_dataset(name)."
