"""The errors of this package, each also a builtin that a caller would catch.

SaliencyError
├── ArgumentError(ValueError)        a parameter has a value that makes no sense
│   └── UnknownNameError             a name that is not known; the nearest known ones are offered
├── FieldError(ValueError)           a field or view of the dataset is missing or of the wrong kind
├── ModelError(ValueError)           the model and what was said of it do not agree
├── ImageError(ValueError)           an image cannot be read
├── TargetError(ValueError)          a sample has nothing to explain (a counted skip, not a stop)
├── RunConflictError(ValueError)     a field or folder is already taken by something else
├── StorageError(OSError)            files cannot be written or deleted
├── DatabaseError(ConnectionError)   the database does not answer
├── StoppedError(RuntimeError)       somebody stopped the work from outside
└── MissingExtraError(ImportError)   an optional package is not installed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SaliencyError(Exception):
    """Base of all errors that this package raises on purpose."""


class ArgumentError(SaliencyError, ValueError):
    """A parameter has a value that makes no sense."""


class UnknownNameError(ArgumentError):
    """A name that is not known; carries the nearest known names.

    Args:
        kind: what the name should have named, such as "method".
        name: the name as given.
        known: every name that would have been accepted.
        hint: one more sentence, with the way out.
    """

    def __init__(self, kind: str, name: object, known: Iterable[str], hint: str = "") -> None:
        known = sorted(known)
        self.near = nearest(str(name), known)
        if self.near:
            way_out = "Did you mean " + " or ".join(f"`{n}`" for n in self.near) + "?"
        elif known:
            shown = ", ".join(f"`{n}`" for n in known[:20])
            way_out = f"Choose one of {shown}" + (f" and {len(known) - 20} more." if len(known) > 20 else ".")
        else:
            way_out = f"No {kind} is known yet."
        super().__init__(f"Expected a known {kind}, but got {name!r}. {way_out} {hint}".strip())


class FieldError(SaliencyError, ValueError):
    """A field or view of the dataset is missing or of the wrong kind."""


class ModelError(SaliencyError, ValueError):
    """The model and what was said of it do not agree."""


class ImageError(SaliencyError, ValueError):
    """An image cannot be read."""


class TargetError(SaliencyError, ValueError):
    """A sample has nothing to explain, such as a missing label."""


class RunConflictError(SaliencyError, ValueError):
    """A field or a folder is already taken by something else."""


class StorageError(SaliencyError, OSError):
    """Files cannot be written or deleted, such as on a full disk."""


class DatabaseError(SaliencyError, ConnectionError):
    """The database does not answer, or refuses."""


class StoppedError(SaliencyError, RuntimeError):
    """Somebody stopped the work, such as in the App; what was finished until then is kept."""


class MissingExtraError(SaliencyError, ImportError):
    """An optional package is not installed."""


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return up to ``count`` known names that look like ``name``, the nearest first."""
    by_lower = {k.lower(): k for k in known}
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=count, cutoff=0.5)
    return [by_lower[f] for f in found]
