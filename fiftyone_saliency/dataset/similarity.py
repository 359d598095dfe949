"""Which samples look like which, by FiftyOne Brain, and which are one picture."""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from fiftyone_saliency.core.embeddings import Embeddings

_BLOCK = 1 << 20


def rank_by_similarity(pool: Any, embeddings: Embeddings, queries: Embeddings) -> list[str]:
    """Return the samples that have an embedding, those nearest to any of the queries first.

    FiftyOne Brain's scikit-learn index is asked, with cosine distance. It has no brain key: Brain keeps it in memory
    alone, so that nothing is written to the dataset and nothing is left to clean up.

    Args:
        pool: dataset or view.
        embeddings: of some of its samples.
        queries: what to look like; their samples may be of another dataset. Without any, nothing is near.
    """
    import fiftyone.brain as fob

    if not len(embeddings) or not len(queries):
        return []
    view = pool.select(list(embeddings.ids), ordered=True)
    index = fob.compute_similarity(view, embeddings=embeddings.vectors, backend="sklearn", metric="cosine")
    with index.use_view(view):
        return index.sort_by_similarity(queries.vectors, aggregation="post-min").values("id")


def same_pictures(pool: Any, known: Sequence[Any]) -> set[str]:
    """Return the ids of the samples of a pool whose picture is known: same sample, same file or same bytes.

    Args:
        pool: dataset or view.
        known: datasets or views.
    """
    ids = {sample_id for samples in known for sample_id in samples.values("id")}
    paths = {os.path.realpath(path) for samples in known for path in samples.values("filepath")}
    by_size: dict[int, list[str]] = defaultdict(list)
    for path in filter(os.path.isfile, paths):
        by_size[os.path.getsize(path)].append(path)
    digests: dict[int, set[bytes]] = {}
    found: set[str] = set()
    for sample_id, path in zip(*pool.values(["id", "filepath"]), strict=True):
        if sample_id in ids or os.path.realpath(path) in paths:
            found.add(sample_id)
        elif os.path.isfile(path) and (size := os.path.getsize(path)) in by_size:
            # Only files of one size can be equal: few are read.
            if size not in digests:
                digests[size] = _digests(by_size[size])
            found |= {sample_id} if _digests([path]) & digests[size] else set()
    return found


def _digests(paths: Iterable[str]) -> set[bytes]:
    """Return the digests of those files that can be read: a picture that cannot be read is no one's copy."""
    found: set[bytes] = set()
    for path in paths:
        digest = hashlib.sha256()
        with contextlib.suppress(OSError), open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
            found.add(digest.digest())
    return found
