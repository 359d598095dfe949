"""Operators: a form, one call of the SDK, an answer."""

from .clean_up import CleanUp
from .clusters import ClusterMaps
from .compare import CompareRuns
from .compute import ComputeSaliency
from .enrich import PlanEnrichment
from .evaluate import EvaluatePredictions
from .export import ExportForRetraining
from .faithfulness import MeasureFaithfulness
from .gate import CheckGate
from .hide import HideRegion
from .load import LoadExport
from .measure import MeasureMaps
from .metrics import METRICS
from .regions import DefineRegions
from .report import WriteReport
from .runs import ManageRuns
from .stop import StopWork
from .tag import TagCell
from .trust import CheckTrust
from .views import SaveCellViews

OPERATORS = (
    EvaluatePredictions,
    ComputeSaliency,
    DefineRegions,
    MeasureMaps,
    CheckTrust,
    MeasureFaithfulness,
    HideRegion,
    ClusterMaps,
    SaveCellViews,
    TagCell,
    PlanEnrichment,
    ExportForRetraining,
    LoadExport,
    CompareRuns,
    CheckGate,
    WriteReport,
    ManageRuns,
    CleanUp,
    StopWork,
    *METRICS,
)
