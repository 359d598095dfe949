"""Hiding by hand: a model that looks at one patch, the patch hidden, and areas of its size beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from fiftyone_saliency.core.frames import inverse, shown, to_input
from fiftyone_saliency.core.hiding import overlap, shifted
from fiftyone_saliency.core.maps import place
from fiftyone_saliency.core.types import Placement
from fiftyone_saliency.runtime.hiding import Hider, Scene
from fiftyone_saliency.runtime.substrate import SUBSTRATES, blend, substrate_of, surroundings
from tests.oracles import PATCH, SIDE, Failing, PatchModel, SmallCNN, Snapshot, adapt, draw, load_chunk, loaded

WHOLE = (slice(0, SIDE), slice(0, SIDE))


def mask_of(place: tuple[slice, slice]) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.float32)
    mask[place] = 1
    return mask


@pytest.fixture
def chunk(tmp_path):
    """Four green pictures with a red patch: red by the patch, green by everything else."""
    paths = []
    for i in range(4):
        picture = np.zeros((SIDE, SIDE, 3), np.uint8)
        picture[:, :, 1] = 120 + i
        picture[PATCH] = (250, 0, 0)
        paths.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(picture).save(paths[-1])
    return load_chunk(paths, adapt(PatchModel()))


def hide(chunk, mask, model=None, **options):
    hider = Hider(model or adapt(PatchModel()), **{"fill": "blur", "controls": 3, "seed": 51, "rows": 7, **options})
    return hider(chunk, {image.item.id: Scene(mask) for image in loaded(chunk)})


@pytest.mark.parametrize("fill", ["blur", "mean"])
def test_hiding_what_decides_flips_all_and_hiding_anything_else_flips_none(chunk, fill):
    """The logit of red is 250/255 in the patch; nothing outside of the patch changes a logit."""
    result = hide(chunk, mask_of(PATCH), fill=fill)
    assert not result.failures
    assert len(result.results) == 4
    for _, row in result.results:
        assert (row.flip, row.control_flip, row.control_logit_change, row.overlap) == (1, 0, 0, 0)
        assert row.area == pytest.approx(64 / SIDE**2, rel=1e-3)
        left = 0 if fill == "blur" else 64 / SIDE**2
        assert row.logit_change == pytest.approx((left - 1) * 250 / 255, abs=1e-3)


def test_where_the_region_does_not_decide_its_controls_may(chunk):
    """A region beside the patch, so large that each control must cover the patch's half at least."""
    beside = mask_of((slice(0, SIDE), slice(20, SIDE)))
    result = hide(chunk, beside, fill="mean", controls=4)
    for _, row in result.results:
        assert (row.flip, row.logit_change) == (0, 0)
        assert (row.control_flip, row.overlap) == (1, 0), "the only place of that shape is the other half"
        assert row.control_logit_change < -0.5


class AlmostPatchModel(PatchModel):
    """Looks at the patch alone, but for the rounding of the last digits that any change of the image brings."""

    def forward(self, images):
        return super().forward(images) * (1 + 4e-7 * images.mean(dim=(1, 2, 3))[:, None]) + 100


def test_rounding_is_no_effect(chunk):
    """Beside the patch nothing decides; a test on many samples would find changes of 1e-5 as surely as real ones."""
    corner = mask_of((slice(0, 6), slice(0, 6)))
    model = adapt(AlmostPatchModel())
    for _, row in hide(chunk, corner, model, fill="mean").results:
        assert (row.flip, row.logit_change) == (0, 0)
    for _, row in hide(chunk, mask_of(PATCH), model).results:
        assert row.flip == 1
        assert row.logit_change == pytest.approx(-250 / 255, abs=1e-3)


def test_a_soft_region_hides_softly(chunk):
    """Half of the patch's weight leaves half of its red, and brings half of the mean colour."""
    full, half = (hide(chunk, weight * mask_of(PATCH), fill="mean").results for weight in (1, 0.5))
    for (_, one), (_, other) in zip(full, half, strict=True):
        assert other.logit_change == pytest.approx(one.logit_change / 2, abs=1e-6)


def test_a_swapped_region_is_that_of_the_partner(chunk, tmp_path):
    """The partner's region is a blue square elsewhere: stretched over the patch it makes the picture blue."""
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[30:34, 4:8] = (0, 0, 200)
    Image.fromarray(picture).save(tmp_path / "partner.png")
    (partner,) = load_chunk([str(tmp_path / "partner.png")], adapt(PatchModel()))
    scenes = {i.item.id: Scene(mask_of(PATCH), partner, mask_of((slice(30, 34), slice(4, 8)))) for i in loaded(chunk)}
    kept = []

    class Watched(PatchModel):
        def forward(self, images):
            kept.append(super().forward(images))
            return kept[-1]

    model = adapt(Watched())
    assert model.scoring.exclusive  # what the numbers are is asked once, before
    result = Hider(model, "swap", 2, 51, 64)(chunk, scenes)
    assert [row.flip for _, row in result.results] == [1] * 4
    hidden = kept[-1].reshape(4, 4, 3)[:, 1]
    torch.testing.assert_close(hidden, torch.tensor([0, 0, 200 / 255]).expand(4, 3), atol=1e-3, rtol=0)
    assert all((row.control_flip, row.control_logit_change) == (0, 0) for _, row in result.results)


@pytest.mark.parametrize("weights", [None, np.zeros((SIDE, SIDE), np.float32)])
def test_nothing_to_hide_is_neither_result_nor_failure(chunk, weights):
    result = hide(chunk, weights)
    assert (result.results, result.failures) == ([], [])


def test_a_region_that_the_network_does_not_see_is_undefined(tmp_path):
    """The network sees the middle of a wide picture; the region is its left border."""
    Image.fromarray(np.full((SIDE, 3 * SIDE, 3), 99, np.uint8)).save(tmp_path / "wide.png")
    crop = transforms.Compose([transforms.CenterCrop(SIDE), transforms.ToTensor()])
    model = adapt(PatchModel(), transform=crop)
    border = np.zeros((SIDE, 3 * SIDE), np.float32)
    border[:, :SIDE] = 1
    wide = load_chunk([str(tmp_path / "wide.png")], model)
    assert hide(wide, border, model).results == []
    ((_, row),) = hide(wide, 1 - border, model, controls=1).results
    assert row.area == 1


def test_rows_and_chunks_do_not_matter(chunk):
    model = adapt(SmallCNN())
    together = dict(hide(chunk, mask_of(PATCH), model, rows=64).results)
    alone = dict(row for image in chunk for row in hide([image], mask_of(PATCH), model, rows=2).results)
    assert together.keys() == alone.keys()
    for sample, row in together.items():
        assert row.logit_change == pytest.approx(alone[sample].logit_change, abs=1e-6)
        assert row.control_logit_change == pytest.approx(alone[sample].control_logit_change, abs=1e-6)


def test_the_seed_decides_the_controls(chunk):
    model = adapt(SmallCNN())
    changes = [
        [row.control_logit_change for _, row in hide(chunk, mask_of(PATCH), model, seed=seed).results]
        for seed in (1, 1, 2)
    ]
    assert changes[0] == changes[1]
    assert changes[0] != changes[2]
    assert len(set(changes[0])) == 4, "each sample has controls of its own"


def test_the_model_is_given_back_also_after_an_exception(chunk):
    module = Failing(SmallCNN())
    module.train()
    before = Snapshot.of(module)
    result = hide(chunk, mask_of(PATCH), adapt(module))
    assert {failure.reason for failure in result.failures} == {"RuntimeError: the lamp is too bright"}
    assert len(result.failures) == 4
    assert before.differences(Snapshot.of(module)) == []


@pytest.mark.parametrize("region", [PATCH, (slice(0, 8), slice(30, 40)), (slice(10, 30), slice(2, 20))])
def test_controls_have_the_region_s_shape_and_lie_outside_it(region):
    mask = mask_of(region)
    for control in shifted(mask, WHOLE, 20, 51):
        rows, columns = control.nonzero()
        size = (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1)
        assert size == (region[0].stop - region[0].start, region[1].stop - region[1].start)
        assert control.sum() == mask.sum()
        assert overlap(mask, control) <= 0.01


def test_controls_of_a_large_region_keep_its_area_and_share_as_little_as_they_can():
    mask = mask_of((slice(0, 30), slice(0, SIDE)))
    for control in shifted(mask, WHOLE, 10, 51):
        assert control.sum() == mask.sum()
        assert overlap(mask, control) == pytest.approx(2 / 3, abs=0.02), "10 of 40 rows are free: 20 of 30 are shared"


def test_controls_do_not_lie_in_the_padding():
    inside = (slice(5, 35), slice(0, SIDE))
    mask = mask_of((slice(6, 12), slice(0, 10)))
    controls = shifted(mask, inside, 30, 51)
    assert not np.sum(controls, axis=0)[[*range(5), *range(35, 40)]].any()
    assert len({control.tobytes() for control in controls}) == 30


@pytest.mark.parametrize(
    "placement", [Placement(), Placement(0.2, 0.1, 0.5, 0.8), Placement(-0.25, 0, 1.5, 1), Placement(0, -0.5, 0.4, 2)]
)
def test_the_way_to_the_input_is_the_way_back_from_it(placement):
    """A map that is smooth over the whole image comes back to itself wherever the input shows the image."""
    ramp = np.add.outer(np.linspace(0, 1, 60), np.linspace(0, 1, 60)).astype(np.float32)
    back = place(to_input(ramp, placement, (80, 80)), placement, (60, 60))
    inner = place(np.ones((80, 80), np.float32), placement, (60, 60)) > 0
    inner[[*range(3), *range(57, 60)]] = inner[:, [*range(3), *range(57, 60)]] = False
    assert np.abs(back - ramp)[inner].max() < 0.03
    again = inverse(inverse(placement))
    assert [again.x, again.y, again.width, again.height] == pytest.approx(
        [placement.x, placement.y, placement.width, placement.height]
    )


def test_what_is_shown_of_a_letterbox():
    """The image is half as high as wide: a square input has a quarter of padding above and below."""
    assert shown(Placement(0, -0.5, 1, 2), (40, 40)) == (slice(10, 30), slice(0, 40))
    assert shown(Placement(0.2, 0.2, 0.5, 0.5), (40, 40)) == (slice(0, 40), slice(0, 40))


def test_surroundings_know_nothing_of_the_region_and_are_exact_where_all_is_equal():
    images = torch.full((1, 3, SIDE, SIDE), 0.25)
    weights = torch.from_numpy(mask_of(PATCH))[None, None]
    torch.testing.assert_close(surroundings(blend(images, torch.ones(()), weights), weights), images)
    one, other = (surroundings(blend(draw(1), torch.tensor(value), weights), weights) for value in (-5.0, 9.0))
    torch.testing.assert_close(one, other)


def test_surroundings_of_a_region_that_is_all_of_the_image_are_its_mean():
    images = draw(1)
    found = surroundings(images, torch.ones(1, 1, SIDE, SIDE))
    torch.testing.assert_close(found, images.mean(dim=(2, 3), keepdim=True).expand_as(images))


@pytest.mark.parametrize("kind", SUBSTRATES)
def test_substrates(kind):
    images = draw(2)
    found = substrate_of(images, kind)
    assert found.shape == images.shape
    mean = torch.zeros(2, 3) if kind == "zero" else images.mean(dim=(2, 3))
    torch.testing.assert_close(found.mean(dim=(2, 3)), mean, atol=0.02, rtol=0)
    assert found.flatten(2).std(dim=2).max() < 0.15 < images.flatten(2).std(dim=2).min()
