"""The demos' datasets, made anew by each run; a dataset of yours that has the same name is left alone."""

from __future__ import annotations

import fiftyone as fo

import fiftyone_saliency as fos

_MARK = "made_by"
_MAKER = "the demos of fiftyone-saliency"


def new_dataset(name: str) -> fo.Dataset:
    """Make an empty dataset in place of the one that an earlier run made.

    Raises:
        ValueError: if a dataset of that name exists that no demo made.
    """
    if fo.dataset_exists(name):
        old = fo.load_dataset(name)
        if old.info.get(_MARK) != _MAKER:
            raise ValueError(
                f"Expected the dataset name {name!r} to be free, but a dataset of yours has it. Rename it."
            )
        for run in fos.list_runs(old):
            fos.delete_run(old, run.key)
        old.delete()
    dataset = fo.Dataset(name, persistent=True)
    dataset.info = {_MARK: _MAKER}
    dataset.save()
    return dataset
