"""The methods that hide parts of the image: against captum, against enumeration by hand, and what a pass holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations
from math import ceil
from typing import Any

import numpy as np
import pytest
import torch
from captum._utils.models.linear_model import SkLearnLinearRegression
from captum.attr import FeatureAblation as CaptumFeatureAblation
from captum.attr import LimeBase
from captum.attr import Occlusion as CaptumOcclusion
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.core.types import Target
from fiftyone_saliency.methods._attribute import attribute, attribute_all, look
from fiftyone_saliency.methods._registry import Method
from fiftyone_saliency.methods._superpixels import superpixels
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch
from tests.oracles import CLASSES, SIDE, ConstantModel, LinearModel, SmallCNN, adapt, batch, draw, method, resize

SMALL = {
    "occlusion": {"window": 0.3, "stride": 0.2},
    "rise": {"masks": 40, "grid": 3},
    "feature_ablation": {"segments": 9},
    "kernel_shap": {"segments": 9, "samples": 40},
    "lime": {"segments": 9, "samples": 40},
}
OVER_SEGMENTS = ["feature_ablation", "kernel_shap", "lime"]

every_method = pytest.mark.parametrize("name", SMALL)


def small(name: str, **parameters: Any) -> Method:
    return method(name, **SMALL[name] | parameters)


def maps_of(how: Method, model: ModelAdapter, work: Batch) -> Tensor:
    return attribute(how, model, work).values


class Watched(nn.Module):
    """Any network, and what it was given."""

    def __init__(self, network: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network or SmallCNN()
        self.sizes: list[int] = []
        self.images: list[Tensor] = []
        self.layouts: set[bool] = set()

    def forward(self, images: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        self.sizes.append(len(images))
        self.images.append(images.clone())
        self.layouts.add(images.is_contiguous(memory_format=torch.channels_last))
        return self.network(images)

    @property
    def seen(self) -> int:
        return sum(self.sizes)


def with_forward(how: Method, network: Watched, work: Batch) -> Batch:
    """Give a batch the forward pass over its images that a run makes, and forget that the network saw it."""
    model = adapt(network)
    with model.explaining():
        work = replace(work, forward=look(how, model, work.images))
    network.__init__(network.network)
    return work


# All of them: what a pass holds


@every_method
@pytest.mark.parametrize("rows", [1, 3, 32])
def test_maps_do_not_depend_on_the_rows_of_a_pass_and_no_pass_has_more(name, rows):
    work, network = batch(draw(2, side=20), 1), Watched()
    maps = maps_of(small(name), adapt(network), replace(work, rows=rows))
    assert_close(maps, maps_of(small(name), adapt(SmallCNN()), replace(work, rows=1000)), atol=1e-6, rtol=1e-4)
    assert max(network.sizes) <= rows


@every_method
def test_several_targets_equal_each_alone_and_share_every_pass(name):
    images, network = draw(2, side=20), Watched()
    works = [batch(images, 0), batch(images, (1, 2)), batch(images, 2, minus=1)]
    together = attribute_all(small(name), adapt(network), works)
    sizes = network.sizes
    for i, work in enumerate(works):
        network = Watched()
        alone = maps_of(small(name), adapt(network), work)
        assert network.sizes == sizes
        assert_close(together[i].values, alone, atol=1e-6, rtol=1e-5)


@every_method
def test_passes_are_filled_across_images(name):
    how, network = small(name), Watched()
    work = with_forward(how, network, replace(batch(draw(5, side=20), 1), rows=32))
    maps_of(how, adapt(network), work)
    assert network.sizes == [32] * (network.seen // 32) + [network.seen % 32] * (network.seen % 32 > 0)
    assert network.seen > 5 * 7


def test_occlusion_by_169_windows_runs_five_images_in_27_passes_of_32():
    how, network = method("occlusion", window=0.1, stride=0.075), Watched()
    work = with_forward(how, network, batch(draw(5), 1))
    maps_of(how, adapt(network), work)
    assert network.sizes == [32] * 26 + [5 * 169 - 26 * 32]


@every_method
def test_the_forward_pass_that_was_made_is_not_made_again(name):
    how, network = small(name), Watched()
    work = with_forward(how, network, batch(draw(3, side=20), 1))
    maps = maps_of(how, adapt(network), work)
    images = torch.cat(network.images)
    assert not any(torch.equal(image, seen) for image in work.images for seen in images)
    assert_close(maps, maps_of(how, adapt(SmallCNN()), replace(work, forward=None)), atol=1e-6, rtol=1e-4)


@every_method
def test_the_network_gets_images_in_the_layout_they_come_in(name):
    images = draw(2, side=20)
    for layout in (torch.contiguous_format, torch.channels_last):
        network = Watched()
        maps_of(small(name), adapt(network), batch(images.contiguous(memory_format=layout), 1))
        assert network.layouts == {layout == torch.channels_last}


@every_method
def test_a_black_box_is_explained_as_the_network_in_it(name):
    network, work = SmallCNN(), batch(draw(2, side=20), 1)

    class Box(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            with torch.no_grad():
                return torch.from_numpy(network(torch.from_numpy(images.numpy())).numpy().copy())

    box = ModelAdapter(Box(), CLASSES, resize(), differentiable=False)
    assert_close(maps_of(small(name), box, work), maps_of(small(name), adapt(network), work))


@every_method
def test_probabilities_are_explained_as_a_network_that_returns_them(name):
    """One that ends in a softmax would be explained before it; this one hides it."""

    class Hidden(SmallCNN):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images).log_softmax(dim=1).exp()

    work = batch(draw(2, side=20), 1, minus=2)
    expected = maps_of(small(name), adapt(Hidden()), work)
    assert_close(maps_of(small(name), adapt(SmallCNN()), replace(work, output="softmax")), expected)


@pytest.mark.parametrize("name", ["rise", "kernel_shap", "lime"])
def test_another_seed_gives_another_map(name):
    first, second = (maps_of(small(name), adapt(SmallCNN()), batch(draw(1), seed=seed)) for seed in (1, 2))
    assert not torch.allclose(first, second)


@every_method
def test_arithmetic_on_masks_and_scores_stays_exact_where_the_network_is_reduced(name):
    """A linear network in float32 under autocast: only the masks and sums could lose digits."""

    class Exact(LinearModel):
        def forward(self, images: Tensor) -> Tensor:
            with torch.autocast("cpu", enabled=False):
                return super().forward(images)

    model, work = adapt(Exact(side=20)), batch(draw(2, side=20), 1)
    expected = maps_of(small(name), model, work)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(maps_of(small(name), model, work), expected)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("rise", {"masks": 1}),
        ("rise", {"grid": 0}),
        ("rise", {"keep": 0.0}),
        ("rise", {"keep": 1}),
        ("rise", {"stop": 1.1}),
        ("feature_ablation", {"segments": 0}),
        ("kernel_shap", {"segments": 0}),
        ("kernel_shap", {"samples": 0}),
        ("lime", {"samples": 0}),
        ("lime", {"width": 0}),
        ("lime", {"width": -1.0}),
        ("occlusion", {"window": 0.1, "stride": 0.2}),
        ("occlusion", {"stride": 0}),
    ],
)
def test_parameters_that_make_no_sense_are_refused_by_name(name, parameters):
    with pytest.raises(ArgumentError, match=f"`{list(parameters)[-1]}`"):
        method(name, **parameters)


# Occlusion


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("sides", [(40, 40), (24, 37), (13, 8)])
@pytest.mark.parametrize(
    ("window", "stride"), [(0.2, 0.1), (0.5, 0.5), (0.3, 0.07), (0.34, 0.21), (0.9, 0.3), (1, 0.4), (0.01, 0.01)]
)
def test_occlusion_equals_captum(window, stride, sides, count):
    if window == 0.01:
        sides = (5, 7)  # single pixels
    network = SmallCNN()
    images = draw(count)[:, :, : sides[0], : sides[1]]
    windows = [max(1, round(side * window)) for side in sides]
    strides = [min(max(1, round(side * stride)), w) for side, w in zip(sides, windows, strict=True)]
    maps = maps_of(method("occlusion", window=window, stride=stride), adapt(network), batch(images, 1))
    with torch.no_grad():
        expected = CaptumOcclusion(network).attribute(
            images, (3, *windows), (3, *strides), target=1, perturbations_per_eval=4
        )
    assert_close(maps, expected[:, 0], atol=1e-6, rtol=1e-4)


# RISE


def by_hand(seen: Tensor, scores: Tensor, keep: float) -> Tensor:
    """The docstring's formula, from masks (K, H, W) and scores (K,)."""
    centred = (scores - scores.mean()).double()[:, None, None]
    return (centred * seen.double()).sum(dim=0) / (len(seen) * keep * (1 - keep))


@pytest.mark.parametrize("keep", [0.5, 0.3])
def test_rise_is_the_covariance_of_score_and_mask_over_the_variance_of_a_cell(keep):
    """What the network sees of a white image is the mask itself."""
    network = Watched()
    maps = maps_of(method("rise", masks=70, keep=keep), adapt(network), batch(torch.ones(1, 3, 20, 28), 1))
    seen = torch.cat(network.images)
    assert len(seen) == 70
    with torch.no_grad():
        scores = network.network(seen)[:, 1]
    assert_close(maps[0].double(), by_hand(seen[:, 0], scores, keep), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("sides", "grid"), [((20, 28), 7), ((21, 30), 4), ((8, 8), 1)])
def test_rise_masks_are_coarse_grids_enlarged_bilinearly_and_shifted(sides, grid):
    network = Watched()
    work = batch(torch.ones(1, 3, *sides), 1, seed=77)
    maps_of(method("rise", masks=12, grid=grid, keep=0.4), adapt(network), work)
    numbers = torch.rand(12, grid**2 + 2, generator=torch.Generator().manual_seed(77))
    for seen, row in zip(torch.cat(network.images)[:, 0], numbers, strict=True):
        cell = [ceil(side / grid) for side in sides]
        top, left = (int(share * c) for share, c in zip(row[:2].tolist(), cell, strict=True))
        cells = (row[2:] < 0.4).float().view(1, 1, grid, grid)
        large = F.interpolate(cells, [(grid + 1) * c for c in cell], mode="bilinear", align_corners=False)[0, 0]
        assert_close(seen, large[top : top + sides[0], left : left + sides[1]], atol=1e-6, rtol=0)


def test_rise_of_a_linear_model_tends_to_weight_times_input_blurred_by_the_masks():
    """The covariance of two pixels' masks is known: a cell's variance times the mean over shifts of shared weights."""
    side, grid, keep = 8, 2, 0.4
    network, images = LinearModel(side=side), draw(1, side=side)
    rise = method("rise", masks=40_000, grid=grid, keep=keep)
    maps = maps_of(rise, adapt(network), replace(batch(images, 1), rows=2000))
    cell = side // grid
    table = F.interpolate(torch.eye(grid)[None], (grid + 1) * cell, mode="linear", align_corners=False)[0].T
    shared = torch.stack([table[s : s + side] @ table[s : s + side].T for s in range(cell)]).mean(dim=0)
    blurred = shared @ (network.weight[1].detach() * images[0]).sum(dim=0) @ shared
    # The spread of an estimate is about that of the scores over the root of the number of masks.
    with torch.no_grad():
        spread = float((network.weight[1] * images[0]).sum(dim=0).square().sum().sqrt())
    assert_close(maps[0], blurred, atol=6 * spread / 40_000**0.5, rtol=0)
    assert float(torch.corrcoef(torch.stack([maps[0].flatten(), blurred.flatten()]))[0, 1]) > 0.995


class Largest(TorchDispatchMode):
    """Remember the largest tensor that any operation returns."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **kwargs or {})
        self.numbers = max([self.numbers, *(t.numel() for t in tree_leaves(made) if isinstance(t, Tensor))])
        return made


@pytest.mark.parametrize("stop", [1.0, 0.99999])
def test_rise_makes_no_larger_tensors_for_more_masks(stop):
    largest = []
    for masks in (64, 512):
        with Largest() as seen:
            work = replace(batch(draw(2, side=16)), rows=8)
            maps_of(method("rise", masks=masks, grid=7, stop=stop), adapt(LinearModel(side=16)), work)
        largest.append(seen.numbers)
    assert largest[0] == largest[1] == 8 * 3 * 16 * 16


def test_rise_comes_closer_with_more_masks():
    model, images = adapt(SmallCNN()), draw(1, side=16)
    best = maps_of(method("rise", masks=8000, grid=3), model, replace(batch(images, seed=5), rows=500))
    gaps = [float((maps_of(method("rise", masks=m, grid=3), model, batch(images)) - best).norm()) for m in (20, 2000)]
    assert gaps[0] > 4 * gaps[1]


def test_rise_does_not_see_what_is_added_to_every_score():
    class Shifted(SmallCNN):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images).double() + 1000

    expected = maps_of(small("rise"), adapt(SmallCNN()), batch(draw(2), 1))
    assert_close(maps_of(small("rise"), adapt(Shifted()), batch(draw(2), 1)), expected, atol=1e-6, rtol=1e-4)


def stopping(**parameters: Any) -> Method:
    return method("rise", **{"masks": 1024, "grid": 3, "stop": 0.99} | parameters)


def count_masks(images: Tensor, targets: Sequence[Target], seed: int, **parameters: Any) -> int:
    """Return after how many masks one image is finished."""
    network = Watched()
    works = [Batch(images, (target,), (seed,)) for target in targets]
    attribute_all(stopping(**parameters), adapt(network), works)
    return network.seen


def test_rise_stopped_early_is_the_map_of_so_many_masks():
    images, model = draw(3, side=16), adapt(SmallCNN())
    for i in range(3):
        work = Batch(images[i : i + 1], (Target(1, ""),), (i,))
        count = count_masks(work.images, work.targets, i)
        assert count in range(256, 1024, 128)
        cut = maps_of(stopping(masks=count, stop=1), model, work)
        assert_close(maps_of(stopping(), model, work), cut, atol=1e-7, rtol=1e-5)
        # One check earlier it was not finished.
        if count > 256:
            assert count_masks(work.images, work.targets, i, masks=count - 1) == count - 1


@pytest.mark.parametrize("rows", [1, 32, 100])
def test_images_that_are_finished_leave_the_batch_and_the_others_do_not_notice(rows):
    images, seeds = draw(4, side=16), (10, 11, 12, 13)
    targets = tuple(Target(i % 3, "") for i in range(4))
    network = Watched()
    together = maps_of(stopping(), adapt(network), Batch(images, targets, seeds, rows=rows))
    counts = [count_masks(images[i : i + 1], targets[i : i + 1], seeds[i]) for i in range(4)]
    assert len(set(counts)) > 1
    assert network.seen == sum(counts) < 4 * 1024
    for i in range(4):
        alone = maps_of(stopping(), adapt(SmallCNN()), Batch(images[i : i + 1], targets[i : i + 1], seeds[i : i + 1]))
        assert_close(together[i], alone[0], atol=1e-6, rtol=1e-4)


def test_each_target_stops_when_its_own_map_is_finished():
    image = draw(1, side=16, seed=3)
    targets = [Target(0, ""), Target(1, ""), Target(2, "")]
    counts = [count_masks(image, [target], 13) for target in targets]
    assert len(set(counts)) > 1
    assert count_masks(image, targets, 13) == max(counts)
    together = attribute_all(stopping(), adapt(SmallCNN()), [Batch(image, (target,), (13,)) for target in targets])
    for target, found in zip(targets, together, strict=True):
        alone = maps_of(stopping(), adapt(SmallCNN()), Batch(image, (target,), (13,)))
        assert_close(found.values, alone, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("stop", "seen"), [(1.0, 600), (0.9, 256)])
def test_rise_of_a_constant_model_stops_at_the_first_check_only_if_asked_to(stop, seen):
    network = Watched(ConstantModel())
    maps = maps_of(stopping(masks=600, stop=stop), adapt(network), batch(draw(1, side=16)))
    assert network.seen == seen
    assert not maps.any()


# Superpixels


def quarters() -> Tensor:
    """Four colours, on two rows of unequal height."""
    image = torch.zeros(3, 24, 36)
    image[0, :10, :18], image[1, :10, 18:], image[2, 10:, :18] = 1, 1, 1
    return image


def test_superpixels_do_not_cross_a_border_between_colours():
    labels = superpixels(quarters(), 6)
    parts = [labels[:10, :18], labels[:10, 18:], labels[10:, :18], labels[10:, 18:]]
    found = [set(part.flatten().tolist()) for part in parts]
    assert sum(len(labels) for labels in found) == len(set().union(*found))


@pytest.mark.parametrize(
    "image", [draw(1)[0], draw(1)[0, :, :24], draw(1)[0, :1], torch.full((3, 20, 20), 2.5), draw(1)[0].bfloat16()]
)
def test_superpixels_are_numbered_from_0_without_gaps_and_about_as_many_as_asked_for(image):
    labels = superpixels(image, 30)
    assert labels.shape == image.shape[1:]
    assert labels.unique().tolist() == list(range(int(labels.max()) + 1))
    assert 15 <= int(labels.max()) + 1 <= 45


def test_superpixels_do_not_depend_on_the_range_of_the_preprocessing():
    image = draw(1)[0]
    assert torch.equal(superpixels(image, 30), superpixels(4 * image - 2, 30))


@pytest.mark.parametrize("name", OVER_SEGMENTS)
def test_every_pixel_has_the_value_of_its_segment(name):
    images = draw(2)
    for image, values in zip(images, maps_of(small(name), adapt(SmallCNN()), batch(images, 1)), strict=True):
        labels = superpixels(image, 9)
        for label in labels.unique():
            assert len(values[labels == label].unique()) == 1


@pytest.mark.parametrize("name", OVER_SEGMENTS)
def test_the_value_of_a_segment_under_a_linear_model_is_the_sum_of_weight_times_input(name):
    network, images = LinearModel(side=20), draw(2, side=20) - 0.5
    maps = maps_of(small(name), adapt(network), batch(images, (2, 1)))
    for column, image, values in zip((2, 1), images, maps, strict=True):
        labels = superpixels(image, 9)
        product = (network.weight[column].detach() * image).sum(dim=0)
        sums = torch.zeros(int(labels.max()) + 1).index_add(0, labels.flatten(), product.flatten())
        assert_close(values, sums[labels], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", OVER_SEGMENTS)
def test_a_single_segment_has_all_of_the_score(name):
    network, images = SmallCNN(), draw(1)
    maps = maps_of(small(name, segments=1), adapt(network), batch(images, 1))
    with torch.no_grad():
        fall = network(images)[:, 1] - network(torch.zeros_like(images))[:, 1]
    assert_close(maps, fall[:, None, None].expand(1, SIDE, SIDE), atol=1e-5, rtol=1e-4)


def test_feature_ablation_equals_captum_with_the_same_segments():
    network, images = SmallCNN(), draw(3)[:, :, :30]
    maps = maps_of(method("feature_ablation"), adapt(network), batch(images, 1))
    for image, values in zip(images, maps, strict=True):
        labels = superpixels(image, 50)
        assert len(labels.unique()) > 25
        with torch.no_grad():
            expected = CaptumFeatureAblation(network).attribute(image[None], target=1, feature_mask=labels[None, None])
        assert_close(values, expected[0, 0], atol=1e-6, rtol=1e-4)


def worth(network: nn.Module, image: Tensor, labels: Tensor) -> Callable[[frozenset[int]], float]:
    """Return the score of class 1 with some segments alone."""

    def score(kept: frozenset[int]) -> float:
        with torch.no_grad():
            return float(network((image * torch.isin(labels, torch.tensor(sorted(kept))))[None])[0, 1])

    return score


def shapley(score: Callable[[frozenset[int]], float], count: int) -> list[float]:
    """Average what each player adds over all orders of arrival."""
    known: dict[frozenset[int], float] = {}
    values = np.zeros(count)
    orders = list(permutations(range(count)))
    for order in orders:
        present: frozenset[int] = frozenset()
        for player in order:
            for group in (present, present | {player}):
                if group not in known:
                    known[group] = score(group)
            values[player] += known[present | {player}] - known[present]
            present |= {player}
    return (values / len(orders)).tolist()


def test_kernel_shap_of_few_segments_is_exactly_their_shapley_values():
    network, image = SmallCNN(), quarters() + 0.3 * draw(1)[0, :, :24, :36]
    labels = superpixels(image, 6)
    count = int(labels.max()) + 1
    assert 4 <= count <= 6
    expected = torch.tensor(shapley(worth(network, image, labels), count))
    watched = Watched(network)
    maps = maps_of(method("kernel_shap", segments=6), adapt(watched), batch(image[None], 1))
    assert_close(maps[0], expected[labels].float(), atol=1e-6, rtol=1e-4)
    # the whole image, no segment, and everything between, once each
    assert watched.seen == 2**count


@pytest.mark.parametrize("samples", [1, 5, 40, 300])
def test_kernel_shap_adds_up_to_the_score_of_the_image_over_zero(samples):
    network, images = SmallCNN(), draw(3)
    maps = maps_of(method("kernel_shap", segments=30, samples=samples), adapt(network), batch(images, (0, 1, 2)))
    with torch.no_grad():
        rises = (network(images) - network(torch.zeros_like(images))).diag()
    for image, values, rise in zip(images, maps, rises, strict=True):
        labels = superpixels(image, 30)
        total = sum(float(values[labels == label][0]) for label in labels.unique())
        assert abs(total - float(rise)) < 1e-4


def test_kernel_shap_by_drawn_combinations_comes_close_to_all_of_them():
    model, image = adapt(SmallCNN()), quarters() + 0.3 * draw(1)[0, :, :24, :36]
    count = int(superpixels(image, 12).max()) + 1
    assert count > 8
    exact, few, many = (
        maps_of(method("kernel_shap", segments=12, samples=samples), model, replace(batch(image[None], 1), rows=200))
        for samples in (2**count - 2, 4 * count, 2 ** (count - 1))
    )
    assert float((many - exact).norm() / exact.norm()) < 0.05
    assert float((many - exact).norm()) < float((few - exact).norm())


def test_kernel_shap_draws_sizes_in_the_proportions_of_its_kernel_and_each_combination_with_its_opposite():
    kept = method("kernel_shap", samples=20_000).draw(20, 77)
    assert not kept[0].any()
    assert torch.equal(kept[1::2], ~kept[2::2])
    sizes = torch.bincount(kept[1:].sum(dim=1), minlength=20)[1:] / 20_000
    expected = 1 / (torch.arange(1, 20) * (20 - torch.arange(1, 20)))
    assert_close(sizes, expected / expected.sum(), atol=0.01, rtol=0)
    # Within a size no segment is preferred.
    assert_close(kept[1:].double().mean(dim=0), torch.full((20,), 0.5, dtype=torch.float64), atol=0.01, rtol=0)
    single = kept[kept.sum(dim=1) == 1].double().mean(dim=0)
    assert_close(single, torch.full((20,), 0.05, dtype=torch.float64), atol=0.02, rtol=0)


def test_lime_equals_captum_on_the_same_combinations():
    network, image = SmallCNN(), draw(1)
    how = method("lime", segments=9, samples=60)
    maps = maps_of(how, adapt(network), batch(image, 1, seed=77))
    labels = superpixels(image[0], 9)
    count = int(labels.max()) + 1
    kept = torch.cat([torch.ones(1, count), how.draw(count, 77).float()])

    def combinations(*_: Any, **__: Any) -> Any:
        yield from kept[:, None]

    with torch.no_grad():
        captum = LimeBase(
            network,
            SkLearnLinearRegression(),
            similarity_func=lambda _original, _perturbed, rows, **__: how.nearness(rows),
            perturb_func=combinations,
            perturb_interpretable_space=True,
            from_interp_rep_transform=lambda rows, original, **__: original * rows[0][labels],
            to_interp_rep_transform=None,
        ).attribute(image, target=1, n_samples=len(kept))
    assert_close(maps[0], captum[0][labels].float(), atol=1e-5, rtol=1e-4)


def test_lime_counts_combinations_near_the_whole_image_more():
    near = method("lime").nearness(torch.tensor([[1.0] * 4, [1, 1, 1, 0], [1, 0, 0, 0], [0] * 4]))
    # cosine distances 0, 1 - √¾, ½, 1 over a width of ¼
    assert_close(near, torch.tensor([1.0, 0.7503, 0.0183, 1.125e-7]), atol=1e-4, rtol=1e-2)
