"""Find and delete files of saliency maps that nothing points at."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.core.escaping import markdown

from . import _forms


class CleanUp(foo.Operator):
    """Show what is left over, and delete it where that is confirmed."""

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

    def resolve_input(self, ctx: Any) -> Any:
        """Build the form: what would be deleted stands in it."""
        inputs = types.Object()
        inputs.bool(
            "everywhere",
            label="All datasets",
            description="Those that were deleted included; off: this dataset only",
            default=False,
            view=types.SwitchView(),
        )
        found = fos.clean_up(_scope(ctx), dry_run=True)
        inputs.md("\n".join(f"- {markdown(line.strip())}" for line in str(found).splitlines()), name="found")
        if found.orphans:
            inputs.bool("delete", label="Delete these files for good", default=False, view=types.SwitchView())
        return _forms.form(inputs, "Clean up files", "Files that anything points at stay")

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Look, and delete if that was confirmed."""
        found = fos.clean_up(_scope(ctx), dry_run=ctx.params.get("delete") is not True)
        return {"done": str(found), **found.to_json()}

    def resolve_output(self, ctx: Any) -> Any:
        """Say what was done."""
        return _forms.answer("Clean up files", done="Result")


def _scope(ctx: Any) -> Any:
    return None if ctx.params.get("everywhere") is True else ctx.dataset
