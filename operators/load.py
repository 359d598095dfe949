"""Read an export for retraining back."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.dataset.folders import require_allowed

from ._answers import Answer
from ._forms import Form
from ._operator import SaliencyOperator


class LoadExport(SaliencyOperator):
    """Read an export back into a new dataset: images, tags, labels, heatmaps and masks."""

    title = "Load an export"
    about = "The images stay where they are"
    needs_dataset = False

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne shows of the operator."""
        return foo.OperatorConfig(
            name="load_export",
            label="Saliency: load an export",
            description="Read an export for retraining back into a new dataset, and open it",
            icon="drive_folder_upload",
            dynamic=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.HIGH,
        )

    def ask(self, form: Form) -> None:
        """Add the entries."""
        what = "The folder that was exported to, as a full path; it may have been moved"
        folder = form.path("out_dir", "Folder on the server", what)
        if folder is not None:
            form.check("out_dir", lambda: require_allowed(folder, "out_dir"))
        name = form.name("name", "Name of the new dataset")
        if name is not None and fo.dataset_exists(name):
            form.refuse("name", "There is a dataset of that name. Choose another one.")

    def act(self, ctx: Any, form: Form, progress: Any) -> Answer:
        """Read, and open the new dataset."""
        folder = require_allowed(form["out_dir"], "out_dir")
        dataset = fos.load_export(folder, form["name"], persistent=True)
        count = dataset.count()
        return Answer(
            f"{count} samples in {dataset.name}",
            {"dataset": dataset.name, "count": count, "out_dir": str(folder)},
            then=lambda ctx: ctx.ops.open_dataset(dataset.name),
        )
