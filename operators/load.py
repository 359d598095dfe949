"""Read an export for retraining back."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import SaliencyError
from fiftyone_saliency.dataset.folders import require_allowed

from . import _forms


class LoadExport(foo.Operator):
    """Read an export back into a new dataset: images, tags, labels, heatmaps and masks."""

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

    def resolve_input(self, ctx: Any) -> Any:
        """Build the form."""
        inputs = types.Object()
        what = "The folder that was exported to, as a full path; it may have been moved"
        folder = inputs.str("out_dir", label="Folder on the server", description=what, required=True)
        if path := ctx.params.get("out_dir"):
            try:
                require_allowed(path, "out_dir")
            except SaliencyError as error:
                _forms.refuse(folder, str(error))
        name = inputs.str("name", label="Name of the new dataset", required=True)
        if fo.dataset_exists(ctx.params.get("name") or ""):
            _forms.refuse(name, "There is a dataset of that name. Choose another one.")
        return _forms.form(inputs, "Load an export", "The images stay where they are")

    def execute(self, ctx: Any) -> dict[str, str]:
        """Read, and open the new dataset."""
        try:
            folder = require_allowed(ctx.params["out_dir"], "out_dir")
            dataset = fos.load_export(folder, ctx.params["name"], persistent=True)
        except SaliencyError as error:
            ctx.ops.notify(str(error), variant="error")
            raise
        ctx.ops.open_dataset(dataset.name)
        return {"loaded": f"{dataset.count()} samples in {dataset.name}"}

    def resolve_output(self, ctx: Any) -> Any:
        """Say what was read."""
        return _forms.answer("Loaded", loaded="Loaded")
