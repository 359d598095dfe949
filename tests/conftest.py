"""One FiftyOne for the whole session: its own database, data folder and plugin folder, nothing of the user's.

FiftyOne reads its configuration when it is imported, so the environment is set here, before any test module.
The database lives as long as this process.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import socket
import subprocess
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
    FIFTYONE_SALIENCY_FOLDERS=tempfile.gettempdir(),
    FIFTYONE_SALIENCY_MODELS=str(HOME / "config" / "saliency_models.toml"),
    FIFTYONE_DO_NOT_TRACK="true",
    FIFTYONE_DATABASE_VALIDATION="false",
    FIFTYONE_SHOW_PROGRESS_BARS="false",
    YOLO_CONFIG_DIR=str(HOME / "yolo"),
    YOLO_AUTOINSTALL="false",
    OMP_WAIT_POLICY="PASSIVE",  # PyTorch's threads spin while they wait, to the cost of the browser beside them
)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from PIL import Image  # noqa: E402


@pytest.fixture(scope="session")
def fo():
    """FiftyOne, with its database running."""
    import fiftyone

    fiftyone.list_datasets()
    return fiftyone


@pytest.fixture
def dataset(fo) -> Iterator:
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


@pytest.fixture
def colours(dataset, pictures):
    """The twelve pictures with truth and prediction; two truths are wrong: (blue, red) at 3, (red, green) at 7."""
    from tests.models_for_tests import CLASSES, add_pictures

    seen = [CLASSES[i % 3] for i in range(12)]
    truths = [{3: "blue", 7: "red"}.get(i, colour) for i, colour in enumerate(seen)]
    return add_pictures(dataset, pictures, truths, seen)


@pytest.fixture
def model():
    """The colour network, ready to explain; it sees the middle 48 × 48 pixels."""
    from fiftyone_saliency import load_model
    from tests.models_for_tests import CLASSES, CROP, ColourNet

    return load_model(ColourNet(), CLASSES, CROP)


@pytest.fixture(scope="session")
def steady(fo, pictures):
    """A lived-in dataset for calls that must be refused and so change nothing: labels, boxes, masks, a run, more."""
    import fiftyone_saliency as fos
    from tests.models_for_tests import CLASSES, CROP, ColourNet, add_pictures

    dataset = fo.Dataset()
    seen = [CLASSES[i % 3] for i in range(12)]
    add_pictures(dataset, pictures, seen, [*seen[:-1], None])
    box = fo.Detection(label="square", bounding_box=[0.1, 0.1, 0.5, 0.5])
    dataset.set_values("boxes", [fo.Detections(detections=[box.copy()]) for _ in range(12)])
    dataset.set_values("regions", [fo.Segmentation(mask=np.eye(4, dtype=np.uint8)) for _ in range(12)])
    dataset.limit(3).tag_samples("enrich")
    fos.evaluate(dataset, eval_key="eval")
    model = fos.load_model(ColourNet(), CLASSES, CROP)
    fos.compute_saliency(dataset, model, target="blue", progress=False)
    fos.compute_saliency(dataset, model, "other", progress=False)
    yield dataset
    dataset.delete()


def _start_own_database() -> None:
    """Start a mongod of our own, unless the environment names one.

    FiftyOne shares one mongod among all processes of a user, whatever their database folders: with another FiftyOne
    at work, these tests would run in its database, and lose it when that one ends.
    """
    folder = next(iter(importlib.util.find_spec("fiftyone").submodule_search_locations))
    mongod = Path(folder) / "db" / "bin" / "mongod"
    if "FIFTYONE_DATABASE_URI" in os.environ or not mongod.is_file():
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = HOME / "mongod"
    data.mkdir()
    # It ends with this process, however that ends: then its standard input is closed.
    script = '"$@" >/dev/null 2>&1 & read _; kill $!; wait $!'
    options = ["--dbpath", str(data), "--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket"]
    server = subprocess.Popen(["sh", "-c", script, "sh", str(mongod), *options], stdin=subprocess.PIPE)
    atexit.register(server.wait)
    atexit.register(server.stdin.close)
    os.environ["FIFTYONE_DATABASE_URI"] = f"mongodb://127.0.0.1:{port}"


_start_own_database()
