"""What a clean-up finds on the disk and in the database, and what became of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Orphan:
    """A file of a run that nothing in the database points at.

    Args:
        path: the file.
        size: bytes.
        reason: why nothing points at it.
    """

    path: str
    size: int
    reason: str


@dataclass(frozen=True, slots=True)
class MissingFile:
    """A heatmap whose file is not there; the App draws nothing for it. Computing again makes it anew.

    Args:
        dataset: name of the dataset.
        field: the heatmap's field.
        sample_id: id of the sample.
        path: where the file should be.
    """

    dataset: str
    field: str
    sample_id: str
    path: str


@dataclass(frozen=True, slots=True)
class CleanUp:
    """What a clean-up found, and what became of it.

    Args:
        dry_run: whether nothing was deleted.
        orphans: files that nothing points at.
        missing: heatmaps whose files are not there; they are told, never changed.
        failures: files that could not be deleted, with the reason.
        left_alone: folders that were passed over, with the reason.
    """

    dry_run: bool
    orphans: tuple[Orphan, ...] = ()
    missing: tuple[MissingFile, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    left_alone: tuple[tuple[str, str], ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all orphans."""
        return sum(orphan.size for orphan in self.orphans)

    @property
    def deleted(self) -> int:
        """Number of files that were deleted."""
        return 0 if self.dry_run else len(self.orphans) - len(self.failures)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain JSON values."""
        return {
            "dry_run": self.dry_run,
            "size": self.size,
            "deleted": self.deleted,
            "orphans": [asdict(orphan) for orphan in self.orphans],
            "missing": [asdict(heatmap) for heatmap in self.missing],
            "failures": [{"path": path, "reason": reason} for path, reason in self.failures],
            "left_alone": [{"folder": folder, "reason": reason} for folder, reason in self.left_alone],
        }

    def __str__(self) -> str:
        what = f"{len(self.orphans)} files ({self.size / 1e6:.1f} MB) that nothing points at"
        lines = [
            f"{what}: nothing was deleted, this was a dry run" if self.dry_run else f"{what}: {self.deleted} deleted"
        ]
        reasons = sorted({orphan.reason for orphan in self.orphans})
        lines += [f"  {sum(o.reason == reason for o in self.orphans)} {reason}" for reason in reasons]
        lines += [f"could not be deleted: {path}: {reason}" for path, reason in self.failures[:10]]
        if self.missing:
            fields = sorted({(heatmap.dataset, heatmap.field) for heatmap in self.missing})
            named = ", ".join(f"{field} of {dataset}" for dataset, field in fields[:10])
            lines.append(f"{len(self.missing)} heatmaps whose file is missing ({named}): compute them again")
        lines += [f"left alone: {folder}: {reason}" for folder, reason in self.left_alone]
        return "\n".join(lines)
