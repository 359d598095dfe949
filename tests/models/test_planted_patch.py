"""The whole way from image file to placed map: what was planted in the image is found where it was planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps
from torch import Tensor
from torchvision import models, transforms

from fiftyone_saliency.core.targets import TargetSpec
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.load import load
from fiftyone_saliency.runtime.worker import Explainer
from tests.models.test_from_ultralytics import import_ultralytics
from tests.oracles import CLASSES, Detector, argmax2d, load_chunk, method

CELL = 8
SIDE = 64


def letterboxed(image: Image.Image) -> Image.Image:
    return ImageOps.pad(image, (SIDE, SIDE), color=(114, 114, 114))


PREPROCESSING: dict[str, Callable[..., Tensor]] = {
    "square resize": transforms.Compose([transforms.Resize((SIDE, SIDE)), transforms.ToTensor()]),
    "centre crop": transforms.Compose([transforms.Resize(80), transforms.CenterCrop(SIDE), transforms.ToTensor()]),
    "letterbox": transforms.Compose([letterboxed, transforms.ToTensor()]),
    "not square": transforms.Compose([transforms.Resize((40, 96)), transforms.ToTensor()]),
}
# Width and height, and the planted square's centre and half side relative to them, off both diagonals, in the crop.
IMAGES = {
    "wide": ((240, 150), (0.36, 0.68)),
    "tall": ((150, 240), (0.68, 0.36)),
    "very wide": ((300, 100), (0.45, 0.25)),
    "on its side": ((150, 240), (0.68, 0.36)),
}
HALF = 0.06


@pytest.fixture(scope="module", params=IMAGES)
def planted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, tuple[float, float]]:
    """A grey image with a green rectangle, its path and the rectangle's centre (x, y)."""
    (width, height), (x, y) = IMAGES[request.param]
    picture = np.full((height, width, 3), 100, np.uint8)
    rows = slice(round((y - HALF) * height), round((y + HALF) * height))
    columns = slice(round((x - HALF) * width), round((x + HALF) * width))
    picture[rows, columns] = (30, 250, 30)
    path: Path = tmp_path_factory.mktemp("planted") / ("image.jpg" if request.param == "on its side" else "image.png")
    image = Image.fromarray(picture)
    if path.suffix == ".jpg":
        # As cameras do: the pixels lie on their side, and a note says how to turn them.
        note = image.getexif()
        note[ExifTags.Base.Orientation] = 6
        image.rotate(90, expand=True).save(path, exif=note, quality=95)
    else:
        image.save(path)
    return str(path), (x, y)


def explain(model: ModelAdapter, name: str, path: str) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Return the placed map, and the size (x, y) of one cell of its grid in the image's own unit."""
    chunk = load_chunk([path], model)
    (found,) = Explainer(model, method(name), (TargetSpec("green"),), 51)(chunk)[0].results
    height, width = found.values.shape
    assert height == pytest.approx(width * chunk[0].size[0] / chunk[0].size[1], abs=1)
    place, (_, rows, columns) = chunk[0].placement, chunk[0].tensor.shape
    return found.values, (place.width * CELL / columns, place.height * CELL / rows)


@pytest.mark.parametrize("name", ["grad_cam", "integrated_gradients", "occlusion", "smooth_grad"])
@pytest.mark.parametrize("preprocessing", PREPROCESSING)
def test_the_maximum_lies_on_what_was_planted_to_within_one_cell(planted, preprocessing, name):
    path, (x, y) = planted
    values, (cell_x, cell_y) = explain(load(Detector(CELL), CLASSES, PREPROCESSING[preprocessing]), name, path)
    row, column = argmax2d(values)
    assert abs((row + 0.5) / values.shape[0] - y) <= HALF + cell_y
    assert abs((column + 0.5) / values.shape[1] - x) <= HALF + cell_x


def torchvision_model(name: str) -> ModelAdapter:
    return load(Detector(CELL), CLASSES, models.get_model_weights(name).DEFAULT.transforms())


def timm_model(**config: Any) -> ModelAdapter:
    timm = pytest.importorskip("timm")
    overlay = {"input_size": (3, SIDE, SIDE), "fixed_input_size": False} | config
    return load(timm.create_model("test_resnet", num_classes=3, pretrained_cfg_overlay=overlay), CLASSES)


def huggingface_model(processor: str, **config: Any) -> ModelAdapter:
    transformers = pytest.importorskip("transformers")
    network = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic")
    network = transformers.ResNetForImageClassification(network)
    return load((network, getattr(transformers, processor)(**config)), ["a", "b"])


def clip_model(**config: Any) -> ModelAdapter:
    open_clip = pytest.importorskip("open_clip")
    vision = {"image_size": SIDE, "patch_size": 32, "width": 8, "layers": 1, "head_width": 8}
    text = {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1}
    network = open_clip.CLIP(8, vision, text)
    preprocessing = {"size": SIDE} | config
    open_clip.model.set_model_preprocess_cfg(network, asdict(open_clip.transform.PreprocessCfg(**preprocessing)))
    return load(network, CLASSES)


def fiftyone_model(**config: Any) -> ModelAdapter:
    import fiftyone.utils.torch as fout

    settings = {"model": Detector(CELL), "classes": list(CLASSES), "device": "cpu"}
    settings |= {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    return load(fout.TorchImageModel(fout.TorchImageModelConfig(settings | config)))


def ultralytics_model(size: Any = SIDE) -> ModelAdapter:
    source = import_ultralytics().YOLO("yolov8n-cls.yaml", verbose=False)
    source.overrides["imgsz"] = size
    return load(source)


def ultralytics_letterbox() -> ModelAdapter:
    """What its detectors see, and FiftyOne's wrappers of them."""
    box = import_ultralytics().data.augment.LetterBox((SIDE, SIDE), auto=False)
    to_array = transforms.Lambda(lambda image: box(image=np.asarray(image)))
    return load(Detector(CELL), CLASSES, transforms.Compose([to_array, transforms.ToTensor()]))


SQUARE = {"height": SIDE, "width": SIDE}
OWN: dict[str, Callable[[], ModelAdapter]] = {
    "torchvision resnet18": lambda: torchvision_model("resnet18"),
    "torchvision efficientnet_v2_s": lambda: torchvision_model("efficientnet_v2_s"),
    "torchvision vit_b_16": lambda: torchvision_model("vit_b_16"),
    "timm": lambda: timm_model(),
    "timm whole": lambda: timm_model(crop_pct=1.0),
    "timm squash": lambda: timm_model(crop_mode="squash", crop_pct=0.9),
    "timm border": lambda: timm_model(crop_mode="border", crop_pct=0.95),
    "timm not square": lambda: timm_model(input_size=(3, 64, 80), crop_pct=1.0),
    "transformers ViT": lambda: huggingface_model("ViTImageProcessor", size=SQUARE),
    "transformers ConvNeXt": lambda: huggingface_model(
        "ConvNextImageProcessor", size={"shortest_edge": SIDE}, crop_pct=0.875
    ),
    "transformers DeiT": lambda: huggingface_model(
        "DeiTImageProcessor", size={"height": 72, "width": 72}, crop_size=SQUARE
    ),
    "transformers CLIP": lambda: huggingface_model(
        "CLIPImageProcessor", size={"shortest_edge": SIDE}, crop_size=SQUARE
    ),
    "transformers padding": lambda: huggingface_model("Owlv2ImageProcessor", size=SQUARE),
    "open_clip": lambda: clip_model(),
    "open_clip longest": lambda: clip_model(resize_mode="longest", fill_color=114),
    "open_clip squash": lambda: clip_model(resize_mode="squash"),
    "open_clip not square": lambda: clip_model(size=(64, 80)),
    "fiftyone size": lambda: fiftyone_model(image_size=[48, 96]),
    "fiftyone smaller side": lambda: fiftyone_model(image_min_dim=80, image_max_dim=120),
    "fiftyone patches": lambda: fiftyone_model(image_min_dim=80, image_patch_size=32),
    "ultralytics": lambda: ultralytics_model(),
    "ultralytics not square": lambda: ultralytics_model((48, 96)),
    "ultralytics letterbox": ultralytics_letterbox,
}


@pytest.fixture(scope="module", params=OWN)
def own(request: pytest.FixtureRequest) -> ModelAdapter:
    """A model of some source, its network replaced by the detector: the preprocessing is the source's own."""
    model = OWN[request.param]()
    return replace(model, module=Detector(CELL), classes=CLASSES, layer=None)


def test_each_sources_own_preprocessing_leads_back_to_what_was_planted(own, planted):
    path, (x, y) = planted
    values, (cell_x, cell_y) = explain(own, "grad_cam", path)
    height, width = values.shape
    # The map's centre of mass, to within half a cell: it is the planted square's, whichever cells that falls into.
    middle_y = (values.sum(axis=1) * (np.arange(height) + 0.5)).sum() / values.sum() / height
    middle_x = (values.sum(axis=0) * (np.arange(width) + 0.5)).sum() / values.sum() / width
    assert abs(middle_y - y) <= cell_y / 2
    assert abs(middle_x - x) <= cell_x / 2


def test_outside_the_crop_the_map_is_zero(planted):
    path, _ = planted
    model = load(Detector(CELL), CLASSES, PREPROCESSING["centre crop"])
    chunk = load_chunk([path], model)
    (found,) = Explainer(model, method("occlusion"), (TargetSpec("green"),), 51)(chunk)[0].results
    place = chunk[0].placement
    height, width = found.values.shape
    rows, columns = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    outside = ~np.outer(
        (rows >= place.y) & (rows <= place.y + place.height), (columns >= place.x) & (columns <= place.x + place.width)
    )
    assert outside.mean() > 0.3
    assert (found.values[outside] == 0).all()
    assert found.values[~outside].max() > 0
