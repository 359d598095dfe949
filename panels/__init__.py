"""Panels: what is shown, drawn from one call of the SDK."""

from .clusters import SaliencyClusters
from .compare import SaliencyComparison
from .confusion import SaliencyConfusion

PANELS = (SaliencyConfusion, SaliencyClusters, SaliencyComparison)
