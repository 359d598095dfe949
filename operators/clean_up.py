"""Find and delete files of saliency maps that nothing points at."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.core.escaping import markdown

from ._answers import Answer
from ._forms import Form
from ._operator import SaliencyOperator


class CleanUp(SaliencyOperator):
    """Show what is left over, and delete it where that is confirmed."""

    title = "Clean up files"
    about = "Files that anything points at stay"

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne shows of the operator."""
        return foo.OperatorConfig(
            name="clean_up",
            label="Saliency: clean up files",
            description="Find files of deleted samples, fields and datasets, and delete them",
            icon="cleaning_services",
            dynamic=True,
            risk_level=types.RiskLevel.HIGH,
            view_target=False,
        )

    def ask(self, form: Form) -> None:
        """Add the entries; what would be deleted stands among them."""
        what = "Those that were deleted included; off: this dataset only"
        everywhere = form.switch("everywhere", "All datasets", what)
        found = fos.clean_up(None if everywhere else form.ctx.dataset, dry_run=True)
        form.markdown("found", "\n".join(f"- {markdown(line.strip())}" for line in str(found).splitlines()))
        if found.orphans:
            form.switch("delete", "Delete these files for good")

    def act(self, ctx: Any, form: Form, progress: Any) -> Answer:
        """Look, and delete if that was confirmed."""
        scope = None if form["everywhere"] else ctx.dataset
        found = fos.clean_up(scope, dry_run=not form.values.get("delete", False))
        return Answer(str(found), found.to_json(), then=None)
