"""Weights are drawn anew on a copy, from the output down, and maps that depend on them fall."""

from __future__ import annotations

import threading
from statistics import fmean

import numpy as np
import pytest
import torch
from torch import nn

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.core.trust import judge_agreement
from fiftyone_saliency.core.types import Target
from fiftyone_saliency.metrics.rank_correlation import rank_correlation
from fiftyone_saliency.models.batch import Batch
from fiftyone_saliency.runtime.agreement import Agreement, agreement
from fiftyone_saliency.runtime.randomise import cascade, randomisation
from tests.oracles import ConstantModel, Failing, SmallCNN, Snapshot, adapt, batch, draw, method, resize
from tests.trained import SIDE, scenes, trained

SEEDS = (51, 52, 53)


@pytest.fixture(scope="module")
def striped():
    """The trained network, adapted, and sixteen new images with their classes as targets."""
    images, labels = scenes(16, 7)
    net = trained()
    with torch.no_grad():
        assert (net(images).argmax(dim=1) == labels).float().mean() >= 0.9, "the network has learnt its task"
    targets = tuple(Target(int(label), str(int(label))) for label in labels)
    return adapt(net, transform=resize(SIDE), classes=2), Batch(images, targets, tuple(range(16)))


def changed(one: nn.Module, other: nn.Module) -> list[str]:
    pairs = zip(one.state_dict().items(), other.state_dict().values(), strict=True)
    return [name for (name, before), after in pairs if not torch.equal(before, after)]


def mean_at_the_end(striped, name: str) -> float:
    model, images = striped
    return fmean(randomisation(method(name), model, images, "positive", 1, SEEDS)[1.0])


@pytest.mark.parametrize("name", ["grad_cam", "saliency", "input_x_gradient", "integrated_gradients"])
def test_maps_that_show_what_was_learnt_fall(striped, name):
    assert mean_at_the_end(striped, name) < 0.15


def test_guided_backprop_keeps_much_of_the_image_whatever_the_weights(striped):
    assert mean_at_the_end(striped, "guided_backprop") > 0.2


def test_the_edge_detector_stays_exactly_as_it_is(striped):
    model, images = striped
    found = randomisation(method("edge_detector"), model, images, "positive", 2, (51,))
    assert list(found) == [0.5, 1.0]
    assert all(value == pytest.approx(1) for column in found.values() for value in column)


def test_layers_are_drawn_from_the_output_down():
    """Five layers hold parameters: two convolutions, two normalisations, and the head."""
    model = adapt(SmallCNN())
    seen = [(share, changed(model.module, drawn.module)) for share, drawn in cascade(model, 5, 51)]
    assert [share for share, _ in seen] == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert seen[0][1] == ["head.weight", "head.bias"]
    assert "body.5.running_mean" in seen[1][1]
    assert "body.4.weight" not in seen[1][1]
    assert "body.4.weight" in seen[2][1]
    weights = {name for name, parameter in model.module.named_parameters() if parameter.ndim > 1}
    assert weights <= set(seen[-1][1])
    assert "body.0.weight" not in seen[3][1]


def test_the_order_is_that_of_the_calls_and_not_of_the_definitions():
    class Upside(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(8, 3)
            self.conv = nn.Conv2d(3, 8, 3)

        def forward(self, images):
            return self.head(self.conv(images).mean(dim=(2, 3)))

    model = adapt(Upside())
    (_, first), *_ = [(share, changed(model.module, drawn.module)) for share, drawn in cascade(model, 2, 51)]
    assert first == ["head.weight", "head.bias"]


def test_loose_parameters_and_attention_are_drawn_too():
    """A parameter beside modules, a scale without a way to begin anew, and a projection that is never called."""

    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch = nn.Conv2d(3, 8, 8, stride=8)
            self.token = nn.Parameter(torch.randn(1, 1, 8))
            self.scale = nn.Parameter(torch.arange(8.0))
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = nn.Linear(8, 3)

        def forward(self, images):
            tokens = self.patch(images).flatten(2).transpose(1, 2) * self.scale
            tokens = torch.cat([self.token.expand(len(images), -1, -1), tokens], dim=1)
            return self.head(self.attention(tokens, tokens, tokens)[0][:, 0])

    model = adapt(Tokens())
    ((_, drawn),) = list(cascade(model, 1, 51))
    names = {"token", "scale", "patch.weight", "attention.in_proj_weight", "attention.out_proj.weight", "head.weight"}
    assert names <= set(changed(model.module, drawn.module))
    assert sorted(drawn.module.scale.tolist()) == list(range(8)), "a vector is shuffled: its scale is kept"


def test_the_seed_decides_and_no_one_else_s_random_numbers_are_touched():
    model = adapt(SmallCNN())
    state = torch.get_rng_state()
    first, again, other = (list(cascade(model, 2, seed))[-1][1].module for seed in (51, 51, 52))
    assert torch.equal(torch.get_rng_state(), state)
    assert changed(first, again) == []
    assert "body.0.weight" in changed(first, other)


def test_the_model_itself_is_not_touched_also_after_an_exception():
    module = SmallCNN()
    module.train()
    before = Snapshot.of(module)
    randomisation(method("grad_cam"), adapt(module), batch(draw(2)), "positive", 3, SEEDS)
    assert before.differences(Snapshot.of(module)) == []

    failing = Failing(SmallCNN(), limit=0.6)
    failing.train()
    before = Snapshot.of(failing)
    with pytest.raises(RuntimeError, match="the lamp is too bright"):
        randomisation(method("saliency"), adapt(failing), batch(torch.ones(2, 3, 40, 40)), "positive", 1, SEEDS)
    assert before.differences(Snapshot.of(failing)) == []


def test_batches_do_not_matter(striped):
    model, images = striped
    few = Batch(images.images[:4], images.targets[:4], images.seeds[:4])
    one = Batch(images.images[2:3], images.targets[2:3], images.seeds[2:3])
    together, alone = (randomisation(method("grad_cam"), model, b, "positive", 2, (51,)) for b in (few, one))
    assert [column[2] for column in together.values()] == pytest.approx([column[0] for column in alone.values()])


def test_a_map_without_an_order_cannot_fall_and_one_that_loses_it_has_fallen():
    constant = randomisation(method("saliency"), adapt(ConstantModel()), batch(draw(2)), "positive", 1, SEEDS)
    assert constant == {1.0: [None, None]}
    gone = randomisation(method("saliency"), _WhoseCopiesAreBlind.adapted(), batch(draw(2)), "positive", 1, SEEDS)
    assert gone == {1.0: [0.0, 0.0]}


class _WhoseCopiesAreBlind(SmallCNN):
    """A copy of it sees nothing."""

    blind = False

    def __deepcopy__(self, memo):
        copy = SmallCNN.__new__(type(self))
        copy.__init__()
        copy.blind = True
        return copy

    def forward(self, images):
        return super().forward(images * (not self.blind))

    @classmethod
    def adapted(cls):
        return adapt(cls())


def test_a_network_that_cannot_be_copied_is_told_of():
    module = SmallCNN()
    module.lock = threading.Lock()
    with pytest.raises(ModelError, match="Expected the network to be copyable"):
        next(cascade(adapt(module), 1, 51))


@pytest.mark.parametrize("other", ["occlusion", "integrated_gradients"])
def test_methods_of_two_families_agree_more_than_chance(striped, other):
    model, images = striped
    found = agreement(method("grad_cam"), method(other), model, images, "positive")
    pairs = [(a, b) for a, b in zip(found.together, found.by_chance, strict=True) if a is not None and b is not None]
    assert len(pairs) > 8
    together, by_chance = (fmean(column) for column in zip(*pairs, strict=True))
    assert together > by_chance + 0.2
    assert found.by_chance == pytest.approx(by_hand(found), abs=1e-9)


def by_hand(found):
    """The mean of each map's correlations with the other method's maps of all other images."""
    columns = []
    for i, one in enumerate(found.maps):
        values = [rank_correlation(one, other) for j, other in enumerate(found.others) if j != i]
        defined = [value for value in values if value is not None]
        columns.append(fmean(defined) if rank_correlation(one, one) is not None and defined else None)
    return columns


def test_a_random_map_agrees_no_more_with_its_own_image_than_with_others(striped):
    model, images = striped
    found = agreement(method("random_map"), method("occlusion"), model, images, "positive")
    pairs = [(a, b) for a, b in zip(found.together, found.by_chance, strict=True) if a is not None and b is not None]
    assert abs(fmean(a - b for a, b in pairs)) < 0.15


def test_maps_that_lean_to_the_centre_alone_agree_by_chance():
    """Both methods draw the same smooth hill, moved a little at random: they know nothing of the image."""
    rng = np.random.default_rng(51)
    y, x = np.mgrid[:7, :7] - 3

    def hills():
        moves = rng.normal(0, 0.2, (24, 2))
        return [np.exp(-((x - a) ** 2 + (y - b) ** 2) / 8).astype(np.float32) for a, b in moves]

    found = Agreement(hills(), hills())
    check = judge_agreement("a", "b", found.together, found.by_chance)
    assert check.value.mean > 0.9
    assert check.state == "FAIL"
    assert abs(check.details["gain"]["mean"]) < 0.02


def test_one_image_has_no_other_to_be_held_against():
    one = np.eye(7, dtype=np.float32)
    assert Agreement([one], [one]).by_chance == [None]
    assert Agreement([one, one], [one, np.ones((7, 7), np.float32)]).by_chance == [None, pytest.approx(1)]
