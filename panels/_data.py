"""Data that a panel shows."""

from __future__ import annotations

from typing import Any


def replace_data(ctx: Any, path: str, data: Any) -> None:
    """Replace what the App shows at a path: a figure's traces, or a table's rows.

    The App draws state and data merged, lists item by item, and every event of a control copies the data of that
    moment into the state. So the copy goes first: of a longer list, the tail would come back.

    Args:
        ctx: the execution context.
        path: where the component is.
        data: its traces or rows.
    """
    ctx.panel.set_state(path, None)
    ctx.panel.set_data(path, data)
