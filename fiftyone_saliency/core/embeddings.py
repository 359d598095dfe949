"""Embeddings of samples and of the parts of their images, and how near they lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.core.types import Failure

Part = Literal["image", "salient", "rest"]
PARTS: tuple[Part, ...] = ("image", "salient", "rest")
# Two equal float32 vectors differ by this much once they have gone through a normalisation each.
ROUNDING = 1e-6
_BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Embeddings:
    """One vector per sample.

    Args:
        ids: sample ids, each once.
        vectors: float32 (N, D), finite.
        failures: samples that have none, with reasons: an image that cannot be read, or, of kind ``"skip"``, no map
            where one is needed.
    """

    ids: Sequence[str]
    vectors: NDArray[np.float32]
    failures: Sequence[Failure] = ()

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.ids):
            raise ArgumentError(
                f"Expected one vector per sample, an array ({len(self.ids)}, D), but got {self.vectors.shape}."
            )
        if len(self._row) != len(self.ids) or not np.isfinite(self.vectors).all():
            raise ArgumentError("Expected distinct ids and finite vectors. Leave out the samples that have none.")

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, sample_id: object) -> bool:
        return sample_id in self._row

    def select(self, ids: Iterable[str]) -> Embeddings:
        """Return the embeddings of those of the samples that have one, in the order asked for."""
        asked = list(ids)
        kept = [i for i in asked if i in self._row]
        rows = np.array([self._row[i] for i in kept], np.intp)
        failures = {failure.sample_id: failure for failure in self.failures}
        return Embeddings(kept, self.vectors[rows], [failures[i] for i in asked if i in failures])

    @classmethod
    def join(cls, parts: Iterable[Embeddings]) -> Embeddings:
        """Return the embeddings of several sets as one; the first set that has a sample decides."""
        parts = list(parts)
        failures = [failure for part in parts for failure in part.failures]
        vectors = {i: vector for part in reversed(parts) for i, vector in zip(part.ids, part.vectors, strict=True)}
        table = np.stack(list(vectors.values())) if vectors else np.empty((0, 0), np.float32)
        return cls(list(vectors), table, [failure for failure in failures if failure.sample_id not in vectors])

    @cached_property
    def _row(self) -> dict[str, int]:
        return {sample_id: row for row, sample_id in enumerate(self.ids)}


def nearest_distances(queries: Embeddings, others: Embeddings) -> NDArray[np.float64]:
    """Return for each query the cosine distance to the nearest of the others, float64 (Q,) in [0, 2]; infinite if none.

    A vector of zeros has no direction, and lies at distance 1 of all.
    """
    if not len(queries) or not len(others):
        return np.full(len(queries), np.inf)
    units = _unit(others.vectors).T
    blocks = np.array_split(_unit(queries.vectors), -(-len(queries) // _BLOCK))
    return np.concatenate([1 - (block @ units).max(axis=1) for block in blocks])


def rank_unlike_cues(parts: Mapping[Part, Embeddings], candidates: Sequence[str], failing: Sequence[str]) -> list[str]:
    """Return the candidates whose cue is unlike that of the failing samples while the rest of the image is alike.

    The order is by the distance of the salient regions minus that of the rest, each from the nearest failing sample
    and standardised over the candidates. Similarity alone would find the cue once more, because the cue is what the
    model's features are about.

    Args:
        parts: embeddings of ``"salient"`` and ``"rest"``.
        candidates: ids to rank; those that lack an embedding are left out.
        failing: ids of the samples to compare with.
    """
    cues, rests = parts["salient"], parts["rest"]
    ids = [i for i in candidates if i in cues and i in rests]
    if not ids or not len(cues.select(failing)) or not len(rests.select(failing)):
        return []
    unlike, off = (_standardised(nearest_distances(part.select(ids), part.select(failing))) for part in (cues, rests))
    return [ids[row] for row in np.argsort(off - unlike, kind="stable")]


def _standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = float(values.std())
    return (values - values.mean()) / spread if spread > ROUNDING else np.zeros_like(values)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scale each vector to length 1; one of zeros stays."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros(vectors.shape), where=lengths > 0)
