"""One FiftyOne for the whole session: its own database, data folder and plugin folder, nothing of the user's.

FiftyOne reads its configuration when it is imported, so the environment is set here, before any test module.
The database lives as long as this process.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = Path(tempfile.mkdtemp(prefix="fiftyone-saliency-tests-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
(HOME / "plugins").mkdir()
(HOME / "plugins" / "saliency").symlink_to(ROOT)
os.environ.update(
    FIFTYONE_DATABASE_DIR=str(HOME / "db"),
    FIFTYONE_PLUGINS_DIR=str(HOME / "plugins"),
    FIFTYONE_DEFAULT_DATASET_DIR=str(HOME / "data"),
    FIFTYONE_CONFIG_PATH=str(HOME / "config" / "config.json"),
    FIFTYONE_APP_CONFIG_PATH=str(HOME / "config" / "app_config.json"),
    FIFTYONE_SALIENCY_MODELS=str(HOME / "config" / "saliency_models.toml"),
    FIFTYONE_DO_NOT_TRACK="true",
    FIFTYONE_DATABASE_VALIDATION="false",
    FIFTYONE_SHOW_PROGRESS_BARS="false",
)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from PIL import Image  # noqa: E402


@pytest.fixture(scope="session")
def fo():  # noqa: ANN201
    """FiftyOne, with its database running."""
    import fiftyone

    fiftyone.list_datasets()
    return fiftyone


@pytest.fixture
def dataset(fo) -> Iterator:  # noqa: ANN001
    """An empty dataset that deletes itself."""
    dataset = fo.Dataset()
    yield dataset
    if not dataset.deleted:
        dataset.delete()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Twelve drawn pictures, 64 × 48, each with a bright square at another place; the square's colour is i % 3."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(51)
    paths = []
    for i in range(12):
        picture = rng.integers(0, 40, (48, 64, 3), np.uint8)
        row, column = 8 * (i % 4), 12 * (i % 5)
        picture[row : row + 12, column : column + 12, i % 3] = 250
        paths.append(str(folder / f"picture-{i:02d}.png"))
        Image.fromarray(picture).save(paths[-1])
    return paths
