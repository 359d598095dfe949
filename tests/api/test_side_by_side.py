"""Two maps on one scale: a colour means the same value in both, and it can be undone."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

import fiftyone_saliency as fos
from fiftyone_saliency.api.side_by_side import common_scale, pairs_picture, pairs_url
from fiftyone_saliency.core.errors import FieldError, UnknownNameError
from fiftyone_saliency.core.types import SaliencyMap, SaliencyRequest, Target
from fiftyone_saliency.dataset import store
from fiftyone_saliency.dataset.store import HeatmapStore


def put(dataset, field, tops, sign="positive"):
    """Give the samples maps that rise evenly from left to right up to these values; None leaves one out."""
    request = SaliencyRequest(field, "grad_cam", {}, "model", sign=sign)
    heatmaps = HeatmapStore(dataset, request, store.default_folder(dataset, request.key))
    heatmaps.prepare()
    ramp = np.linspace(0, 1, 64, dtype=np.float32)[None, :].repeat(48, axis=0)
    ids = dataset.values("id")
    heatmaps.write(
        [SaliencyMap(i, Target(0, "a"), ramp * top, 1.0) for i, top in zip(ids, tops, strict=True) if top is not None]
    )


@pytest.fixture
def three(fo, dataset, pictures):
    dataset.add_samples([fo.Sample(filepath=path) for path in pictures[:3]], progress=False)
    put(dataset, "before", [1.0, 4.0, 0.0])
    put(dataset, "after", [4.0, 1.0, None])
    return dataset


def drawn(dataset, field):
    """The values between which the App spreads its colours, by sample."""
    rows = zip(*dataset.values([f"{field}.range", f"{field}.vmin", f"{field}.vmax"]), strict=True)
    return [None if r is None else [low + end * (high - low) / 255 for end in r] for r, low, high in rows]


def test_colours_of_both_fields_mean_the_same_value(three):
    assert drawn(three, "before")[0] != pytest.approx(drawn(three, "after")[0])
    assert common_scale(three, ["before", "after"]) == 2
    for i in range(2):
        assert drawn(three, "before")[i] == pytest.approx(drawn(three, "after")[i])
        assert drawn(three, "before")[i] == pytest.approx([0, 4], rel=0.05)
    assert fos.read_map(three.first().before).max() == pytest.approx(1.0), "the values stay"


def test_a_field_by_itself_gets_its_own_scale_back(three):
    own = three.values("before.range"), three.values("after.range")
    common_scale(three, ["before", "after"])
    assert (three.values("before.range"), three.values("after.range")) != own
    for field in ("before", "after"):
        common_scale(three, [field])
    for now, then in zip((three.values("before.range"), three.values("after.range")), own, strict=True):
        assert [r and pytest.approx(r) for r in now] == then


def test_a_view_is_scaled_alone_and_a_map_without_evidence_is_left(three):
    own = three.values("before.range")
    assert common_scale(three.limit(1), ["before", "after"]) == 1
    assert three.values("before.range")[1:] == own[1:]
    assert three.skip(2).first().after is None


def test_signed_maps_keep_zero_in_the_middle(fo, dataset, pictures):
    dataset.add_sample(fo.Sample(filepath=pictures[0]))
    put(dataset, "a", [1.0], "signed")
    put(dataset, "b", [3.0], "signed")
    common_scale(dataset, ["a", "b"])
    low, high = drawn(dataset, "a")[0]
    assert low == pytest.approx(-3)
    assert high == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize(("field", "error"), [("befor", UnknownNameError), ("ground_truth", FieldError)])
def test_other_fields_are_refused(fo, three, field, error):
    three.add_sample_field("ground_truth", fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification)
    with pytest.raises(error, match="`fields`"):
        common_scale(three, ["before", field])


def test_picture_of_a_pair_shows_the_stronger_map_stronger(three):
    picture = np.asarray(pairs_picture(three.first(), "before", "after", size=64), float)
    assert picture.shape == (48, 3 * 64 + 8, 3)
    before, after = (picture[:, i * 68 : i * 68 + 64] for i in (1, 2))
    warmth = [(one[..., 0] - one[..., 2])[:, -8:].mean() for one in (before, after)]
    assert warmth[1] > 2 * warmth[0] > 0, "four times the value at the same place"
    assert np.abs(before[..., 0] - before[..., 2])[:, :2].max() < 10, "no evidence on the left, so only grey"


def test_sheet_shows_all_pairs_below_each_other(three):
    url = pairs_url(three.limit(2), "before", "after", size=64)
    head, data = url.split(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as sheet:
        assert sheet.size == (3 * 64 + 8, 2 * 48 + 4)


def test_picture_without_a_map_is_bare(three):
    last = three.last()
    picture = np.asarray(pairs_picture(last, "before", "after", size=64))
    assert np.array_equal(picture[:, :64], picture[:, 68:132])
    assert np.array_equal(picture[:, :64], picture[:, 136:])
