"""Operators: a form, one call of the SDK, an answer."""

from .compute import ComputeSaliency
from .evaluate import EvaluatePredictions
from .export import ExportForRetraining
from .runs import ManageRuns
from .tag import TagCell
from .views import SaveCellViews

OPERATORS = (EvaluatePredictions, ComputeSaliency, SaveCellViews, TagCell, ExportForRetraining, ManageRuns)
