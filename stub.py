"""What stands in the list of operators where the plugin and the installed package do not fit together."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types
import yaml
from packaging.version import Version

# FiftyOne drops operators that the manifest does not list: the first one that everybody calls lends its name.
NAME = "compute_saliency"


def find_mismatch(folder: str) -> str | None:
    """Return what is wrong if the installed package is older than the plugin, else None.

    Args:
        folder: the plugin's folder, whose manifest tells its version.
    """
    import fiftyone_saliency

    plugin = str(yaml.safe_load((Path(folder) / "fiftyone.yml").read_text(encoding="utf-8"))["version"])
    installed = getattr(fiftyone_saliency, "__version__", "0")
    if Version(installed) >= Version(plugin):
        return None
    where = Path(fiftyone_saliency.__file__ or "").parent
    return (
        f"The plugin is version {plugin}, but the installed package is version {installed} ({where}). "
        f'Run `pip install --upgrade "fiftyone-saliency>={plugin}"` in the environment of the App\'s server, '
        "or uninstall the package, so that the plugin's own copy serves; then restart the App."
    )


def explain(error: ImportError) -> str:
    """Return what is wrong if the plugin's operators could not be imported, and log where."""
    logging.getLogger("fiftyone_saliency").warning("The saliency plugin could not be imported.", exc_info=error)
    return (
        f"The plugin could not be imported: {error}. The installed package fiftyone-saliency does not fit it, or a "
        "package that it needs is missing. Run `pip install --upgrade fiftyone-saliency` and `pip install -r "
        "requirements.txt` of the plugin's folder in the environment of the App's server; then restart the App."
    )


def stand_in(problem: str) -> type[foo.Operator]:
    """Return an operator that says what is wrong and does nothing else."""

    class PackageDoesNotFit(foo.Operator):
        """Says why the plugin's operators are missing."""

        @property
        def config(self) -> foo.OperatorConfig:
            """What FiftyOne shows of the operator."""
            return foo.OperatorConfig(
                name=NAME,
                label="Saliency: the package does not fit the plugin",
                description=problem,
                icon="error",
                risk_level=types.RiskLevel.LOW,
            )

        def resolve_input(self, ctx: Any) -> Any:
            """Show what is wrong; there is nothing to execute."""
            inputs = types.Object()
            inputs.view("problem", types.Error(label="The package does not fit the plugin", description=problem))
            return types.Property(inputs, invalid=True, error_message=problem)

        def execute(self, ctx: Any) -> dict[str, str]:
            """Say what is wrong."""
            return {"text": problem}

    return PackageDoesNotFit
