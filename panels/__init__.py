"""Panels: what is shown, drawn from one call of the SDK."""

from .confusion import SaliencyConfusion

PANELS = (SaliencyConfusion,)
