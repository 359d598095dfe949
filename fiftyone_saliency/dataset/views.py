"""Confusion cells as saved views."""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import fiftyone as fo
import fiftyone.core.utils as fou

from fiftyone_saliency.core.errors import RunConflictError
from fiftyone_saliency.dataset.confusion import Cell, ConfusionMatrix
from fiftyone_saliency.dataset.fields import dataset_of

Which = Literal["errors", "correct", "all"]
WHICH: tuple[Which, ...] = ("errors", "correct", "all")
_MARK = "fiftyone-saliency cell"
_COLOURS = {True: "#d1495b", False: "#2e8b57"}


def view_name(cell: Cell) -> str:
    """Return the name of a cell's saved view, such as ``"cake → chocolate (predictions)"``."""
    return f"{cell.name} ({cell.matrix.pred_field})"


def save_cell(cell: Cell) -> str:
    """Save a cell as a view of its dataset and return the view's name; saving again updates it.

    Raises:
        RunConflictError: if a view of that name exists that this package did not save.
    """
    dataset = dataset_of(cell.matrix.samples)
    name = _free_name(dataset, cell)
    description = f"{_identity(cell)} {cell.count} samples when saved."
    dataset.save_view(name, cell.view(), description, color=_COLOURS[cell.is_error], overwrite=True)
    return name


def select_cells(matrix: ConfusionMatrix, only: Which, min_count: int) -> list[Cell]:
    """Return the occupied cells that are asked for, the fullest first."""
    wanted = {"errors": (True,), "correct": (False,), "all": (True, False)}[only]
    cells = [c for c in matrix.cells.values() if c.is_error in wanted and c.count >= max(1, min_count)]
    return sorted(cells, key=lambda c: (-c.count, c.name))


def saved_cell_views(dataset: fo.Dataset) -> list[str]:
    """Return the names of the saved views that are cells."""
    return [name for name in map(str, dataset.list_saved_views()) if _is_ours(dataset, name)]


def delete_cell_views(dataset: fo.Dataset, names: Iterable[str] | None = None) -> list[str]:
    """Delete saved cells (all of them by default) and return their names; other saved views are left alone."""
    ours: Sequence[str] = saved_cell_views(dataset)
    chosen = [n for n in ours if names is None or n in set(names)]
    for name in chosen:
        dataset.delete_saved_view(name)
    return chosen


def _identity(cell: Cell) -> str:
    """Say which cell it is: names do not, for a class may be called "(none)" and a truth may have two fields."""
    matrix = cell.matrix
    return f"{_MARK}: {matrix.gt_field} is {cell.truth!r} and {matrix.pred_field} is {cell.prediction!r}."


def _free_name(dataset: fo.Dataset, cell: Cell) -> str:
    """FiftyOne tells views apart by a slug of ASCII letters: "C" and "C++" meet there, and must not collide."""
    base = view_name(cell)
    saved = {name: _description(dataset, name) for name in map(str, dataset.list_saved_views())}
    for name, description in saved.items():
        if name.startswith(base) and description.startswith(_identity(cell)):
            return name
    if base in saved and not saved[base].startswith(_MARK):
        raise RunConflictError(
            f"Expected the view name {base!r} to be free, but another view has it. Rename that view."
        )
    taken = {fou.to_slug(name) for name in saved}
    name, number = base, 2
    while fou.to_slug(name) in taken:
        name, number = f"{base} {number}", number + 1
    return name


def _is_ours(dataset: fo.Dataset, name: str) -> bool:
    return _description(dataset, name).startswith(_MARK)


def _description(dataset: fo.Dataset, name: str) -> str:
    return str(dataset.get_saved_view_info(name)["description"] or "")
