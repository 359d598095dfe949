"""Names of folders for labels: every label has a folder of its own on every system, and can be told from its name."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from urllib.parse import quote

# Not allowed in names on Windows or elsewhere; the percent sign marks what stands in their place.
_FORBIDDEN = frozenset('<>:"/\\|?*%\x7f') | {chr(code) for code in range(32)}
_DEVICES = frozenset(["con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in "0123456789¹²³")])
# What readers of a folder tree take for "no label".
_UNLABELED = "_unlabeled"
_LONGEST, _KEPT = 200, 150


def folder_names(labels: Iterable[str]) -> dict[str, str]:
    """Return a name for the folder of each label; most labels are their own name.

    What a name cannot hold stands as ``%`` and two hexadecimal digits for each byte of its UTF-8, as in an address, so
    that ``urllib.parse.unquote`` brings the label back: "dog/poodle" is ``dog%2Fpoodle``. The same is done to a leading
    or trailing dot, a trailing space, the devices of Windows, the name that FiftyOne gives to missing labels, and to
    all of a label that differs from another one in case alone. A name of more than 200 bytes is cut and ends in a hash,
    and the empty label is ``%``: these two cannot be brought back from the name.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for label in sorted(set(labels)):
        name = _shortened(_escaped(label), label)
        if _folded(name) in taken:
            name = _shortened("".join(map(_quoted, label)), label)
        taken.add(_folded(name))
        names[label] = name
    return names


def _escaped(label: str) -> str:
    name = "".join(_quoted(char) if char in _FORBIDDEN else char for char in label)
    if name.endswith((".", " ")):
        name = name[:-1] + _quoted(name[-1])
    if name.startswith(".") or name.casefold() == _UNLABELED or name.split(".")[0].strip().casefold() in _DEVICES:
        name = _quoted(name[0]) + name[1:]
    return name or "%"


def _quoted(char: str) -> str:
    return quote(char, safe="") if len(quote(char, safe="")) > 1 else f"%{ord(char):02X}"


def _shortened(name: str, label: str) -> str:
    if len(name.encode()) <= _LONGEST:
        return name
    digest = hashlib.sha256(label.encode()).hexdigest()[:32]
    return f"{name.encode()[:_KEPT].decode(errors='ignore')}%{digest}"


def _folded(name: str) -> str:
    """Return what names have in common that one folder of some system would answer to."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
