"""LayerCAM."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fiftyone_saliency.methods._cam import GradientCam
from fiftyone_saliency.methods._registry import register_method


@register_method("layer_cam", "LayerCAM", family="cam", paper="https://doi.org/10.1109/TIP.2021.3089943")
@dataclass(frozen=True)
class LayerCam(GradientCam):
    """Weight each cell of each feature map by its own positive gradient; useful in shallow layers too.

    Values are not negative, in units of the score, and comparable between images of one model and layer.

    References:
        Jiang et al. LayerCAM: Exploring Hierarchical Class Activation Maps for Localization. IEEE Transactions on
        Image Processing 30, 2021, sec. III. https://doi.org/10.1109/TIP.2021.3089943
    """

    def weigh(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return relu(sum over channels of relu(gradient) times feature)."""
        return (gradients.relu() * features).sum(dim=1).relu()
