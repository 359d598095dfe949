"""What a file was when it was read, and whether a PNG file is whole."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
Since = Literal["same", "moved", "changed", "unreadable"]


@dataclass(frozen=True, slots=True)
class FileState:
    """What an image file was when it was read.

    Args:
        digest: BLAKE2b of the content, 32 hexadecimal digits.
        size: bytes.
        modified: time of the last change in nanoseconds, as the file system tells it.
        place: hash of the path, 8 hexadecimal digits: files from one archive have equal times, and often equal sizes.
    """

    digest: str
    size: int
    modified: int
    place: str

    @classmethod
    def of(cls, filepath: str) -> FileState:
        """Read a file and return its state.

        Raises:
            OSError: if it cannot be read.
        """
        # The time first: a file that is replaced in between must look changed afterwards, not current.
        size, modified = _stat(filepath)
        return cls(_digest(filepath), size, modified, _place(filepath))

    @classmethod
    def from_text(cls, text: str) -> FileState:
        """Return the state that `str` wrote down.

        Raises:
            ValueError: if it is none.
        """
        digest, size, modified, place = text.split()
        return cls(digest, int(size), int(modified), place)

    def __str__(self) -> str:
        return f"{self.digest} {self.size} {self.modified} {self.place}"

    def since(self, filepath: str, *, reread: bool = False) -> Since:
        """Return what became of the content.

        The content is read only where path or time differ and the size does not, or where that is asked for.

        Args:
            filepath: where the image is now.
            reread: whether to compare the content even if path, size and time are as they were.

        Returns:
            ``"same"``; ``"moved"`` if the same content is at another path or has another time; ``"changed"``; or
            ``"unreadable"`` if the file cannot be looked at.
        """
        try:
            size, modified = _stat(filepath)
            if size != self.size:
                return "changed"
            unmoved = (modified, _place(filepath)) == (self.modified, self.place)
            if (reread or not unmoved) and _digest(filepath) != self.digest:
                return "changed"
        except OSError:
            return "unreadable"
        return "same" if unmoved else "moved"


def is_whole_png(data: bytes) -> bool:
    """Return whether the bytes are a PNG file from its signature to its end, with every checksum right.

    References:
        W3C. "Portable Network Graphics (PNG) Specification (Third Edition)", 2025, sections 5.2 and 5.3.
        https://www.w3.org/TR/png-3/
    """
    if not data.startswith(_SIGNATURE):
        return False
    start, kind = len(_SIGNATURE), b""
    while start + 12 <= len(data) and kind != b"IEND":
        (length,) = struct.unpack_from(">I", data, start)
        kind, end = data[start + 4 : start + 8], start + 8 + length
        if end + 4 > len(data) or struct.unpack_from(">I", data, end)[0] != zlib.crc32(data[start + 4 : end]):
            return False
        start = end + 4
    return kind == b"IEND"


def holds_whole_png(path: str | Path) -> bool:
    """Return whether a file is there and `is_whole_png`."""
    try:
        return is_whole_png(Path(path).read_bytes())
    except (OSError, ValueError):  # ValueError: a path with a null byte
        return False


def _stat(filepath: str) -> tuple[int, int]:
    status = os.stat(filepath)
    return status.st_size, status.st_mtime_ns


def _digest(filepath: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with open(filepath, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _place(filepath: str) -> str:
    return hashlib.blake2b(os.fsencode(os.path.abspath(filepath)), digest_size=4).hexdigest()
