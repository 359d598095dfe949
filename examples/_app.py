"""Open the App with the samples on the left and the confusion panel on the right."""

from __future__ import annotations

from typing import Any

import fiftyone as fo


def open_app(samples: Any) -> None:
    """Open the App and stay until it is closed or interrupted."""
    panels = [fo.Panel(type="Samples", pinned=True), fo.Panel(type="saliency_confusion")]
    # A space without an active child is drawn empty.
    children = [fo.Space(children=[panel], active_child=panel.component_id) for panel in panels]
    spaces = fo.Space(children=children, orientation="horizontal")
    session = fo.launch_app(samples, spaces=spaces)
    print("Click a cell of the matrix. Press Ctrl+C to end.")
    try:
        session.wait(-1)
    except KeyboardInterrupt:
        session.close()
