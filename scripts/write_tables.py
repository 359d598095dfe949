"""`python -m scripts.write_tables`: renew the README's tables of methods and models from the registries."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from fiftyone_saliency.methods._registry import FAMILIES, list_methods
from fiftyone_saliency.models.load import SOURCES

README = Path(__file__).resolve().parents[1] / "README.md"


def main() -> None:
    """Write the tables in place."""
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")


def renewed(text: str) -> str:
    """Return the README with its tables as the registries have them now."""
    for name, table in _TABLES.items():
        start, end = f"<!-- {name}: written by `make tables` -->", f"<!-- end of {name} -->"
        text, count = re.subn(f"{re.escape(start)}.*?{re.escape(end)}", f"{start}\n{table()}\n{end}", text, flags=re.S)
        if count != 1:
            raise SystemExit(f"Expected {README.name} to hold one table between {start} and {end}, but got {count}.")
    return text


def _methods() -> str:
    shown = [info for info in list_methods().values() if not info.hidden]
    rows = ["| method | | what it does |", "|---|---|---|"]
    for family, what in FAMILIES.items():
        members = [info for info in shown if info.family == family]
        rows += [f"| **{family}** | | *{what}* |"] if members else []
        for info in members:
            mark = "" if info.evidence else " †"
            rows.append(f"| `{info.name}` | [{info.title}]({info.paper}){mark} | {info.summary} |")
    return "\n".join(rows)


def _models() -> str:
    rows = ["| from | what `load_model` takes | extra |", "|---|---|---|"]
    rows += [f"| {s.title} | {s.accepts} | {f'`{s.extra}`' if s.extra else ''} |" for s in SOURCES]
    return "\n".join(rows)


_TABLES: dict[str, Callable[[], str]] = {"methods": _methods, "models": _models}

if __name__ == "__main__":
    main()
