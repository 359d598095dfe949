"""Files that are whole or absent, and what it means when the disk refuses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fiftyone_saliency.core.errors import StorageError
from fiftyone_saliency.dataset.run_files import PART


@contextmanager
def on_disk(folder: Path) -> Iterator[None]:
    """Say what it means that the disk refuses."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"Expected to write maps into {folder}, but got {error.strerror or error}. The maps so far are kept. Make "
            "room, or the folder writable, and repeat the call: it goes on where it stopped."
        ) from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is whole or absent, also when the machine stops: its bytes reach the disk before its name."""
    part = path.with_suffix(PART)
    try:
        with part.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def settle_names(folder: Path) -> None:
    """Let the names of new files reach the disk; Windows does that by itself."""
    if os.name == "nt":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
