"""The database behind FiftyOne's datasets: what it is, what it says of its state, and what points at a file in it."""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import fiftyone.core.odm as foo
from bson import ObjectId
from pymongo.errors import PyMongoError

from fiftyone_saliency.core.errors import DatabaseError

_SCHEMAS = ("sample", "frame")


@contextmanager
def speaking_plainly() -> Iterator[None]:
    """Turn what the database's driver raises into one error that says what to do.

    Raises:
        DatabaseError: if the database does not answer, or refuses.
    """
    try:
        yield
    except (PyMongoError, ValueError) as error:
        # FiftyOne makes a ValueError of a bulk write that failed.
        cause = error if isinstance(error, PyMongoError) else error.__cause__
        if not isinstance(cause, PyMongoError):
            raise
        said = str(cause).split(", Timeout:")[0].split(" (configured timeouts")[0]
        raise DatabaseError(
            f"Expected the database to answer, but it did not: {said}. What was stored so far is kept. Start the "
            "database again and repeat the call: it goes on where it stopped."
        ) from error


def database_id() -> str:
    """Return what tells this database from others that share the folder: the id of FiftyOne's entry about it."""
    (document,) = foo.get_db_conn().config.find({}, {"_id": 1}).sort("_id", -1).limit(1)
    return str(document["_id"])


@dataclass(frozen=True)
class KnownDataset:
    """A dataset as the database lists it.

    Args:
        name: its name.
        collection: where its samples are.
        heatmaps: its heatmap fields.
    """

    name: str
    collection: str
    heatmaps: tuple[str, ...]


def datasets() -> dict[str, KnownDataset]:
    """Return all datasets of the database by their ids; none is loaded for it."""
    wanted = dict.fromkeys(("name", "sample_collection_name", "sample_fields"), 1)
    return {
        str(document["_id"]): KnownDataset(
            document["name"],
            document["sample_collection_name"],
            tuple(
                field["name"]
                for field in document.get("sample_fields") or ()
                if (field.get("embedded_doc_type") or "").rpartition(".")[2] == "Heatmap"
            ),
        )
        for document in foo.get_db_conn().datasets.find({}, wanted)
    }


def fields_of_runs(dataset_id: str) -> set[str]:
    """Return the fields that the runs of a dataset were last recorded for."""
    documents = foo.get_db_conn().runs.find({"_dataset_id": ObjectId(dataset_id)}, {"config.field": 1})
    return {field for document in documents if isinstance(field := document["config"].get("field"), str)}


def heatmaps(collection: str, field: str) -> Iterator[tuple[str, str]]:
    """Yield sample id and path of the heatmaps that carry the key of a run."""
    wanted = {f"{field}.run_key": {"$type": "string"}, f"{field}.map_path": {"$type": "string"}}
    for document in foo.get_db_conn()[collection].find(wanted, {f"{field}.map_path": 1}):
        yield str(document["_id"]), document[field]["map_path"]


def existing(dataset: Any, sample_ids: Iterable[str]) -> set[str]:
    """Return which of the samples a dataset has in the database now."""
    wanted = {"_id": {"$in": [ObjectId(sample_id) for sample_id in sample_ids]}}
    return {str(document["_id"]) for document in _samples(dataset).find(wanted, {"_id": 1})}


def run_status(dataset: Any, key: str) -> str | None:
    """Return the status that a run's record has now, None without a record."""
    wanted = {"_dataset_id": dataset._doc.id, "key": key}
    document = foo.get_db_conn().runs.find_one(wanted, {"config.status": 1})
    return None if document is None else document["config"].get("status")


def is_there(dataset: Any) -> bool:
    """Return whether the database has the dataset now."""
    return foo.get_db_conn().datasets.find_one({"_id": dataset._doc.id}, {"_id": 1}) is not None


def carries(dataset: Any, field: str, run_key: str) -> bool:
    """Return whether any heatmap in a field carries the key of a run."""
    return _samples(dataset).find_one({f"{field}.run_key": run_key}, {"_id": 1}) is not None


def without(dataset: Any, field: str, run_key: str) -> None:
    """Take a run's heatmaps away from all samples, whether or not field and dataset are still declared."""
    _samples(dataset).update_many({f"{field}.run_key": run_key}, {"$unset": {field: ""}})


def pointed_at(pattern: str) -> set[str]:
    """Return the paths that match a regular expression, in any path of any sample or frame of any dataset.

    Looked at are all texts and lists of texts of a sample or frame, such as ``filepath`` or a thumbnail, and at any
    depth those whose name ends in "path", such as ``map_path`` and ``mask_path``. Clones of a field or a dataset share
    the files of the original: here they show.
    """
    connection, found = foo.get_db_conn(), set()
    wanted = [f"{kind}_{what}" for kind in _SCHEMAS for what in ("collection_name", "fields")]
    for document in connection.datasets.find({}, dict.fromkeys(wanted, 1)):
        for kind in _SCHEMAS:
            name, paths = document.get(f"{kind}_collection_name"), list(_paths(document.get(f"{kind}_fields") or ()))
            if name and paths:
                found |= _search(connection[name], paths, pattern)
    return found


def _samples(dataset: Any) -> Any:
    """Return the collection of a dataset's samples; a dataset that was deleted still tells where that was."""
    return foo.get_db_conn()[dataset._doc.sample_collection_name]


def _search(collection: Any, paths: list[str], pattern: str) -> set[str]:
    wanted = {"$or": [{path: {"$regex": pattern}} for path in paths]}
    match = re.compile(pattern).search
    documents = collection.find(wanted, {"_id": 0, **_roots(paths)})
    return {text for document in documents for text in _texts(document) if match(text)}


def _roots(paths: Iterable[str]) -> dict[str, int]:
    """Return a projection to the paths; one that lies in another one would be refused."""
    kept = sorted(set(paths))
    return {path: 1 for path in kept if not any(path.startswith(f"{other}.") for other in kept)}


def _paths(fields: Iterable[dict[str, Any]], prefix: str = "") -> Iterator[str]:
    for field in fields:
        path = prefix + (field.get("db_field") or field["name"])
        kind = (field.get("subfield") or field.get("ftype") or "").rpartition(".")[2]
        if field["name"].endswith("path") or (not prefix and kind == "StringField"):
            yield path
        yield from _paths(field.get("fields") or (), f"{path}.")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
