"""Other people's words, where the App reads Markdown and Plotly reads HTML: shown as they are, never obeyed."""

from __future__ import annotations

import re

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
# The App makes links of bare addresses, whatever is escaped: a word joiner, which is not drawn, keeps them text.
_ADDRESS = re.compile(r"(https?:|ftp:|mailto:|xmpp:|www|@)", re.IGNORECASE)
_JOINER = "\u2060"
_BACKTICKS = re.compile("`+")


def markdown(text: object) -> str:
    """Return a text that Markdown shows as it is: no link, picture, emphasis, heading or HTML comes of it.

    White space is shown as one space, as Markdown does anyway; a line break would begin a new paragraph or list.
    """
    plain = " ".join(str(text).split())
    return _PUNCTUATION.sub(r"\\\1", _ADDRESS.sub(rf"\1{_JOINER}", plain))


def code(text: object) -> str:
    """Return a text as a code span of Markdown, whatever backticks it holds; a table's cell may hold it."""
    plain = " ".join(str(text).split()).replace("|", "\\|")
    if not plain:
        return ""
    fence = "`" * (max((len(run) for run in _BACKTICKS.findall(plain)), default=0) + 1)
    return f"{fence} {plain} {fence}" if "`" in plain else f"{fence}{plain}{fence}"


def code_block(text: object) -> str:
    """Return lines as a code block of Markdown, whose columns stay in line."""
    return "\n".join(f"    {line}" for line in str(text).splitlines())


def plotly(text: object) -> str:
    """Return a text that Plotly shows as it is: it reads ``<b>``, ``<a>`` and entities in labels and hover boxes."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
