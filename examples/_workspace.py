"""Where the demos keep everything they make: one folder, with a FiftyOne of its own unless you brought one."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDER = REPOSITORY / ".demo"


def use_workspace(folder: Path = FOLDER) -> Path:
    """Point FiftyOne at the demos' folder; call this before FiftyOne is imported.

    Database, files, registered models and plugins of the user are left alone. A database server that the user
    names in ``FIFTYONE_DATABASE_URI`` is used instead of a new one.

    Returns:
        The folder.
    """
    plugins = folder / "plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    link = plugins / "saliency"
    if not link.is_symlink() or link.resolve() != REPOSITORY:
        link.unlink(missing_ok=True)
        link.symlink_to(REPOSITORY)
    settings = {
        "FIFTYONE_DATABASE_DIR": str(folder / "database"),
        "FIFTYONE_DEFAULT_DATASET_DIR": str(folder / "fiftyone"),
        "FIFTYONE_PLUGINS_DIR": str(plugins),
        "FIFTYONE_SALIENCY_MODELS": str(folder / "models.toml"),
        "FIFTYONE_DO_NOT_TRACK": "true",
        # The server from the package index is the oldest that FiftyOne supports, and says so at every start.
        "FIFTYONE_DATABASE_VALIDATION": "false",
        "FIFTYONE_ALLOW_LEGACY_ORCHESTRATORS": "true",
        # PyTorch's threads spin while they wait: beside other work, a training took ten times as long.
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    uri = os.environ.get("FIFTYONE_DATABASE_URI")
    print(f"Database: {uri or os.environ['FIFTYONE_DATABASE_DIR']}")
    return folder
