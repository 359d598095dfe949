"""A report to hand on: one HTML page that stands alone, and one JSON file with every number behind it."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fiftyone_saliency.api._progress import Progress
from fiftyone_saliency.api._report_cells import describe_cells
from fiftyone_saliency.api._report_data import describe_reasons, describe_source, kept_hidden
from fiftyone_saliency.api._report_html import render
from fiftyone_saliency.api._report_pictures import Album
from fiftyone_saliency.api.compare import compare_runs
from fiftyone_saliency.api.reasons import reasons
from fiftyone_saliency.core.checks import check_int, check_seed
from fiftyone_saliency.core.errors import ArgumentError, RunConflictError
from fiftyone_saliency.core.hiding import HiddenRegion
from fiftyone_saliency.core.paths import full_path
from fiftyone_saliency.core.types import SEED
from fiftyone_saliency.dataset.confusion import count_confusion
from fiftyone_saliency.dataset.fields import dataset_of
from fiftyone_saliency.dataset.store import default_folder

GENERATOR = "fiftyone-saliency report"
"""How both files say whose they are: no other file is ever replaced."""
_MARKS = {
    ".html": f'<meta name="generator" content="{GENERATOR}">',
    ".json": f'{{\n "generator": "{GENERATOR}",',
}
_HEAD = 1000
_MOST_CELLS = 1000
_MOST_PICTURES = 100


@dataclass(frozen=True)
class Report:
    """A finished report.

    Args:
        html: the page: text, tables and pictures in one file that asks the network for nothing.
        json: all numbers in full, with seeds, keys and versions.
        data: what the JSON file holds.
    """

    html: Path
    json: Path
    data: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.html} and {self.json}"


def report(
    samples: Any,
    field: str = "saliency",
    *,
    regions: str,
    right: Sequence[str] = (),
    compare_with: str | None = None,
    hidden: Sequence[HiddenRegion] = (),
    out: str | Path = "report.html",
    gt_field: str = "ground_truth",
    pred_field: str = "predictions",
    cells: int = 8,
    pictures: int = 6,
    seed: int = SEED,
    overwrite: bool = False,
    progress: Progress = False,
) -> Report:
    """Write down what was measured of a run, for someone who was not there.

    Args:
        samples: dataset or view.
        field: Heatmap field, best of the predicted class.
        regions: a label field whose labels are regions, or the name of regions that the dataset defines.
        right: the regions where the evidence should lie, such as ``["uniform"]``; without them the report describes
            and does not judge.
        compare_with: key or field of a later run on the same samples, such as of the model trained again; None
            leaves the comparison out.
        hidden: what `hide_region` found on the same samples: whether the answers need the regions; by default what
            the run of these maps keeps of it.
        out: path of the page, ending in ``.html``; the JSON file lies beside it. A missing folder is made.
        gt_field: Classification field of the true labels.
        pred_field: Classification field of the predicted labels.
        cells: most cells that are shown with pictures, the worst first, up to 1,000.
        pictures: most pictures of a cell, up to 100; they are drawn at random. A page of more than about 4 MB of
            pictures shows fewer.
        seed: seed of the draw, at least 0.
        overwrite: whether an earlier report of that name is replaced; other files never are.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.

    Returns:
        Both paths and the numbers. Both files are complete or absent.

    Raises:
        UnknownNameError: if a field, run or region does not exist.
        FieldError: if a field is of the wrong type, or there are no samples.
        ArgumentError: if a parameter makes no sense.
        RunConflictError: if a file is there and ``overwrite`` is off, or the file is no report.
    """
    check_int(cells, "cells", 0, _MOST_CELLS)
    check_int(pictures, "pictures", 0, _MOST_PICTURES)
    check_seed(seed)
    paths = prepare_paths(out, overwrite)
    found = reasons(
        samples, field, regions=regions, right=right, gt_field=gt_field, pred_field=pred_field, progress=progress
    )
    comparison = None
    if compare_with is not None:
        comparison = compare_runs(
            samples, field, compare_with, regions=regions, should_rise=right, gt_field=gt_field, progress=progress
        )
    album = Album()
    matrix = count_confusion(samples, pred_field, gt_field)
    worst = describe_cells(matrix, field, found.worst_cells(cells), pictures, seed, album)
    settings = {"field": field, "regions": regions, "right": list(right), "gt_field": gt_field}
    settings |= {"pred_field": pred_field, "compare_with": compare_with, "pictures": pictures, "seed": seed}
    data = {"generator": GENERATOR} | describe_source(samples, field) | {"settings": settings}
    data |= describe_reasons(found)
    told = [one.to_json() for one in hidden] or kept_hidden(samples, field, regions)
    data |= {"worst_cells": worst, "hidden": told}
    data["comparison"] = None if comparison is None else comparison.to_json()
    _write(paths, render(data, album), json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False))
    return Report(*paths, data)


def default_path(samples: Any, field: str) -> Path:
    """Return where a report lies that was given no place of its own: beside the files of the dataset's runs."""
    dataset = dataset_of(samples)
    return default_folder(dataset, "reports") / f"{field}.html"


def prepare_paths(out: str | Path, overwrite: bool = False) -> tuple[Path, Path]:
    """Return the absolute paths of both files.

    Raises:
        ArgumentError: if the name does not end in ``.html``.
        RunConflictError: if a file is there and ``overwrite`` is off, or the file is no report.
    """
    page = full_path(out, "out")
    if page.suffix.lower() != ".html":
        raise ArgumentError(f"Expected `out` to end in .html, but got {str(out)!r}. Name it like report.html.")
    paths = page, page.with_suffix(".json")
    for path, mark in zip(paths, _MARKS.values(), strict=True):
        if not os.path.lexists(path):
            continue
        if not _is_ours(path, mark):
            raise RunConflictError(
                f"Expected `out` to be new or an earlier report, but {path} exists and is none. Choose another name: "
                f"a report is a page and a JSON file of the same name."
            )
        if not overwrite:
            raise RunConflictError(f"Expected `out` to be new, but {path} exists. Choose another or allow overwriting.")
    return paths


def _is_ours(path: Path, mark: str) -> bool:
    """Tell whether a file is a part of a report, by how it begins."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return mark.encode() in file.read(_HEAD)


def _write(paths: tuple[Path, Path], *texts: str) -> None:
    """Write both files beside their places first, so that a full disk leaves no half of a report."""
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    # A name that nobody else has: what lies beside a report is not ours.
    parts = [path.with_name(f".{uuid.uuid4().hex}.part") for path in paths]
    try:
        for part, text in zip(parts, texts, strict=True):
            part.write_text(text, encoding="utf-8")
        for part, path in zip(parts, paths, strict=True):
            os.replace(part, path)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
