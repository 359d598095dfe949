"""Saved views that this package knows again: confusion cells, and what else carries a mark."""

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
    name = free_name(dataset, view_name(cell), _MARK, _identity(cell))
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
    return saved_views(dataset, _MARK)


def delete_cell_views(dataset: fo.Dataset, names: Iterable[str] | None = None) -> list[str]:
    """Delete saved cells (all of them by default) and return their names; other saved views are left alone."""
    return delete_views(dataset, _MARK, names)


def saved_views(dataset: fo.Dataset, mark: str) -> list[str]:
    """Return the names of the saved views whose description starts with a mark."""
    return [name for name in map(str, dataset.list_saved_views()) if _description(dataset, name).startswith(mark)]


def delete_views(dataset: fo.Dataset, mark: str, names: Iterable[str] | None = None) -> list[str]:
    """Delete the saved views with a mark (all of them by default) and return their names."""
    ours: Sequence[str] = saved_views(dataset, mark)
    chosen = [n for n in ours if names is None or n in set(names)]
    for name in chosen:
        dataset.delete_saved_view(name)
    return chosen


def free_name(dataset: fo.Dataset, base: str, mark: str, identity: str) -> str:
    """Return the name under which a view was saved before, or a name that is free.

    FiftyOne tells views apart by a slug of ASCII letters: "C" and "C++" meet there, and must not collide.

    Args:
        dataset: the dataset.
        base: name to start from; a number is added where it is taken.
        mark: start of the description of all views of this kind.
        identity: start of the description of this very view, with the mark.

    Raises:
        RunConflictError: if a view of that name exists without the mark.
    """
    saved = {name: _description(dataset, name) for name in map(str, dataset.list_saved_views())}
    for name, description in saved.items():
        if name.startswith(base) and description.startswith(identity):
            return name
    if base in saved and not saved[base].startswith(mark):
        raise RunConflictError(
            f"Expected the view name {base!r} to be free, but another view has it. Rename that view."
        )
    taken = {fou.to_slug(name) for name in saved}
    name, number = base, 2
    while fou.to_slug(name) in taken:
        name, number = f"{base} {number}", number + 1
    return name


def _identity(cell: Cell) -> str:
    """Say which cell it is: names do not, for a class may be called "(none)" and a truth may have two fields."""
    return f"{_MARK}: {cell.matrix.says(cell.truth, cell.prediction)}."


def _description(dataset: fo.Dataset, name: str) -> str:
    return str(dataset.get_saved_view_info(name)["description"] or "")
