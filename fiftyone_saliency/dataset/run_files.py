"""Where runs keep their files, which files are theirs, and how files go: when nothing points at them any more.

Whatever stands in the database is input: anybody who reaches the App can edit it. No path of it is ever deleted.
What is deleted is found on the disk, in the folder of the very run, by the names that runs give; the database only says
what has to stay.
"""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import fiftyone as fo

from fiftyone_saliency.core.errors import StorageError
from fiftyone_saliency.dataset import database

PART = ".part"


@dataclass(frozen=True)
class Removal:
    """What became of files that nothing points at.

    Args:
        removed: the files that are gone.
        failures: the files, or the folder, that could not be deleted, with the reason.
    """

    removed: tuple[Path, ...] = ()
    failures: tuple[tuple[Path, str], ...] = ()


def root() -> Path:
    """Return the folder of all runs: ``<default_dataset_dir>/saliency``."""
    return Path(str(fo.config.default_dataset_dir)).expanduser() / "saliency"


def default_folder(dataset: fo.Dataset, key: str) -> Path:
    """Return where a run's files live: ``<default_dataset_dir>/saliency/<dataset id>/<run key>``."""
    return root() / str(dataset._doc.id) / key


def note_owner(dataset: fo.Dataset) -> None:
    """Write down whose a dataset's folder is: once it is deleted, its database no longer tells."""
    note = _owner_note(str(dataset._doc.id))
    text = json.dumps({"database": database.database_id(), "dataset": dataset.name})
    if not note.is_file() or note.read_text(encoding="utf-8") != text:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(text, encoding="utf-8")


def owner_of(dataset_id: str) -> tuple[str | None, str]:
    """Return the database and the name of a dataset by its note; None and the id where there is none."""
    try:
        note = json.loads(_owner_note(dataset_id).read_text(encoding="utf-8"))
        return str(note["database"]), str(note["dataset"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, dataset_id


def forget_owner(dataset_id: str) -> None:
    """Remove the note of a dataset that is gone, and whose files are."""
    _owner_note(dataset_id).unlink(missing_ok=True)


def _owner_note(dataset_id: str) -> Path:
    return root() / "datasets" / f"{dataset_id}.json"


def file_name(sample_id: str, key: str, edition: int = 1) -> str:
    """Return the name of a map's file; key and edition are part of it, so that the App's cache never goes stale.

    Args:
        sample_id: id of the sample.
        key: key of the run.
        edition: 1, or more where the run made this sample's map before and its content may have been another.
    """
    return f"{sample_id}-{key}.png" if edition == 1 else f"{sample_id}-{key}-{edition}.png"


def edition_of(path: str) -> int:
    """Return the edition in the name of a map's file; 1 for any other file."""
    match = re.search(r"-(\d{1,9})\.png$", path)
    return int(match[1]) if match else 1


def own_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the maps, and the half-written parts, that a run put into its folder; nothing but plain files.

    Args:
        folder: ``.../<dataset id>/<run key>``.
    """
    name = re.compile(rf"[0-9a-f]{{24}}-{re.escape(folder.name)}(-\d{{1,9}})?(\.png|{re.escape(PART)})")
    with os.scandir(folder) as entries:
        found = [entry.name for entry in entries if name.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)]
    maps = [folder / name for name in sorted(found) if not name.endswith(PART)]
    return maps, [folder / name for name in sorted(found) if name.endswith(PART)]


def is_own(folder: Path) -> bool:
    """Return whether a folder is a run's own: there, and exactly two levels below the folder of all runs."""
    top = root()
    inside = folder.parent.parent == top and {folder.name, folder.parent.name}.isdisjoint({"", ".", ".."})
    real = os.path.join(os.path.realpath(top), folder.parent.name, folder.name)
    return inside and folder.is_dir() and os.path.realpath(folder) == real


def require_removable(folder: Path) -> None:
    """Raise unless the files of a run's folder can be deleted.

    Raises:
        StorageError: if the folder is read-only, or a link to another place.
    """
    if not is_own(folder):
        said = f"it leads to {os.path.realpath(folder)}. Remove the link, and the files if nobody needs them"
    elif not os.access(folder, os.W_OK):
        said = "it is read-only. Make it writable"
    else:
        return
    raise StorageError(f"Expected to delete what is in {folder}, but {said}, and repeat the call. Nothing was changed.")


def collect(dataset: fo.Dataset, key: str, *, parts: bool = False, known: Iterable[str] = ()) -> Removal:
    """Delete the files of a run that nothing in the database points at.

    Args:
        dataset: whose run it is.
        key: key of the run.
        parts: whether half-written files go too; only where nobody is writing.
        known: paths that something points at for sure. Where they are all, the database is not searched.
    """
    folder = default_folder(dataset, key)
    if not folder.is_dir():
        return Removal()
    if not is_own(folder):
        return Removal(failures=((folder, f"it does not lie in {root()}"),))
    maps, halves = own_files(folder)
    loose = but(maps, known)
    if loose:
        loose = but(loose, references(key))
    removal = remove([*loose, *(halves if parts else ())])
    remove_if_empty(folder)
    return removal


def but(files: list[Path], kept: Iterable[str]) -> list[Path]:
    """Return the files that are not among the paths; links and ``..`` in folders are followed, once per folder."""
    real = lru_cache(maxsize=None)(os.path.realpath)
    spellings = {os.path.join(real(folder), name) for folder, name in map(os.path.split, kept)}
    return [path for path in files if os.path.join(real(str(path.parent)), path.name) not in spellings]


def references(key: str) -> set[str]:
    """Return the paths in the database that may be files of a run, by their names."""
    return database.pointed_at(rf"-{re.escape(key)}(-\d+)?\.png$")


def remove(paths: Iterable[Path]) -> Removal:
    """Delete files; what cannot be deleted is told, with the reason."""
    removed, failures = [], []
    for path in paths:
        try:
            path.unlink()
            removed.append(path)
        except FileNotFoundError:
            removed.append(path)
        except OSError as error:
            failures.append((path, error.strerror or str(error)))
    return Removal(tuple(removed), tuple(failures))


def remove_if_empty(folder: Path) -> None:
    """Remove a run's folder if nothing is in it, and the dataset's folder if that was the last one."""
    for empty in (folder, folder.parent):
        try:
            empty.rmdir()
        except OSError:  # something is in it, or it is gone
            return
