"""Chance is the area within what the network sees: a map without preference scores exactly that, wherever it looks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

import fiftyone_saliency as fos

CLASSES = ["dark", "light"]
QUIET = {"progress": False, "num_workers": 1}
LETTERBOX = [transforms.Pad((0, 20)), transforms.Resize((64, 64)), transforms.ToTensor()]
SEEN = {
    "crop": [transforms.Resize(64), transforms.CenterCrop(56), transforms.ToTensor()],
    "letterbox": LETTERBOX,
    "stretched": [transforms.Resize((40, 56)), transforms.ToTensor()],
    "cropped letterbox": [*LETTERBOX[:2], transforms.CenterCrop(30), LETTERBOX[2]],
}
BOXES = {"middle": [0.3, 0.25, 0.4, 0.5], "left": [0.0, 0.0, 0.3, 1.0], "corner": [0.9, 0.9, 0.1, 0.1]}


class BrightnessNet(nn.Module):
    """Says how light an image is, all over: each pixel counts the same."""

    def forward(self, images):
        mean = images.mean(dim=(1, 2, 3))
        return torch.stack([1 - mean, mean], dim=1)


@pytest.fixture(scope="module", params=list(SEEN))
def flat(request, fo, tmp_path_factory):
    """Pictures of 160 × 120, one of them stored on its side, with maps that are equal all over the network's input."""
    folder, rng = tmp_path_factory.mktemp("flat"), np.random.default_rng(1)
    dataset = fo.Dataset()
    for i in range(6):
        picture = Image.fromarray(rng.integers(0, 256, (120, 160, 3), np.uint8))
        exif = Image.Exif()
        if i == 5:
            picture, exif[274] = picture.transpose(Image.Transpose.ROTATE_90), 6
        picture.save(folder / f"{i}.jpg", exif=exif)
        label = fo.Classification(label="light")
        boxes = [fo.Detection(label=name, bounding_box=box) for name, box in BOXES.items()]
        dataset.add_sample(
            fo.Sample(folder / f"{i}.jpg", ground_truth=label, predictions=label, boxes=fo.Detections(detections=boxes))
        )
    model = fos.load_model(BrightnessNet(), CLASSES, transforms.Compose(SEEN[request.param]))
    fos.compute_saliency(dataset, model, method="saliency", **QUIET)
    yield dataset, request.param
    dataset.delete()


def test_a_map_without_preference_scores_exactly_its_chance_level(flat):
    dataset, _ = flat
    for share in fos.region_shares(dataset, regions="boxes").overall.values():
        if share.mean is not None:
            assert share.mean == pytest.approx(share.area, abs=1e-9)
            assert share.low <= share.area <= share.high
            assert share.enrichment == pytest.approx(1)
            assert share.reach == pytest.approx(share.area, abs=1e-6)


def test_chance_is_the_area_within_what_the_network_sees(flat):
    """By hand: 160 × 120 becomes 85 × 64, of which 56 × 56 are seen, from 14 and 4 on; the box covers 0.2."""
    dataset, seen = flat
    left, top, width, height = dataset.first().saliency.seen
    x, y, across, down = BOXES["middle"]
    inside = (min(left + width, x + across) - max(left, x)) * (min(top + height, y + down) - max(top, y))
    shares = fos.region_shares(dataset, regions="boxes")
    assert shares["middle"].area == pytest.approx(inside / (width * height), abs=0.02)
    if seen == "crop":
        assert (left, top, width, height) == pytest.approx((14 / 85, 4 / 64, 56 / 85, 56 / 64), abs=0.001)
        assert shares["middle"].mean == pytest.approx(0.2 / (56 / 85 * 56 / 64), abs=0.01)
    elif "cropped" not in seen:
        assert [left, top, width, height] == pytest.approx([0, 0, 1, 1], abs=0.001)
        assert shares["middle"].area == pytest.approx(0.2, abs=0.01)


def test_what_the_network_cannot_see_is_undefined_and_counted(flat):
    dataset, seen = flat
    corner = fos.region_shares(dataset, regions="boxes")["corner"]
    assert (corner.n, corner.undefined) == ((0, 6) if seen.startswith("crop") else (6, 0))


def test_a_flat_map_is_no_right_reason_and_no_wrong_one(flat):
    dataset, _ = flat
    reasons = fos.reasons(dataset, regions="boxes", right=["middle"])
    parts = (reasons.overall.right, reasons.overall.wrong, reasons.overall.no_preference)
    assert [(part.mean, part.n) for part in parts] == [(0, 6), (0, 6), (1, 6)]
    assert reasons.cells["light", "light"].state == "no preference"
    assert not reasons.right_for_wrong_reason
    assert len(reasons.right_without_preference) == 6
    gate = fos.gate(dataset, regions="boxes", right=["middle"], max_wrong_reason=0.5, require_trust=False)
    assert not gate.passed


def test_measures_look_at_what_the_network_saw(flat):
    dataset, _ = flat
    measured = fos.measure(dataset, regions="boxes")
    assert measured["gini"].mean == pytest.approx(0, abs=1e-6)
    assert measured["entropy"].mean == pytest.approx(1, abs=1e-6)
    assert measured.dominant_region == ["no preference"] * 6
    assert dataset.count_values("saliency.dominant_region") == {"no preference": 6}
    shares = fos.region_shares(dataset, regions="boxes")
    assert measured["share_middle"].mean == pytest.approx(shares["middle"].area, abs=1e-6)


def test_a_flat_map_names_no_place(flat):
    dataset, _ = flat
    assert fos.cluster_maps(dataset).undefined == 6
    assert (fos.mean_map(dataset, "saliency").n, fos.mean_map(dataset, "saliency").undefined) == (0, 6)


def test_copies_keep_what_the_network_saw(flat, tmp_path):
    dataset, _ = flat
    shares = fos.region_shares(dataset, regions="boxes").overall
    seen = dataset.values("saliency.seen")
    copy = dataset.clone()
    assert fos.region_shares(copy, regions="boxes").overall == shares
    copy.delete()
    fos.export_for_retraining(dataset, tmp_path / "out", tags=None)
    loaded = fos.load_export(tmp_path / "out")
    assert sorted(loaded.values("saliency.seen")) == sorted(seen)
    loaded.delete()


def test_maps_of_other_tools_count_the_whole_image(fo, flat):
    dataset, _ = flat
    dataset.set_values("other", [fo.Heatmap(map=np.ones((12, 16), np.float32)) for _ in range(6)])
    shares = fos.region_shares(dataset, "other", regions="boxes")
    assert (shares["middle"].mean, shares["middle"].area) == pytest.approx((0.2, 0.2), abs=1e-6)
    dataset.delete_sample_field("other")
