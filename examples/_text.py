"""What the stories print, set in below the heading that it belongs to."""

from __future__ import annotations


def indented(text: object, most: int | None = None) -> str:
    """Return a text set in by three spaces, shortened to its first lines if it is longer than ``most``."""
    lines = str(text).splitlines()
    hidden = len(lines[most:]) if most else 0
    return "\n".join([f"   {line}" for line in lines[:most]] + [f"   … and {hidden} more lines"] * bool(hidden))
