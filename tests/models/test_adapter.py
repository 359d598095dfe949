from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.core.types import Target
from fiftyone_saliency.models.adapter import ModelAdapter, check_classes
from fiftyone_saliency.models.batch import Batch
from fiftyone_saliency.models.load import load
from tests.oracles import CLASSES, LinearModel, SmallCNN, Snapshot, adapt, draw, resize


def test_equal_models_in_two_objects_have_an_equal_fingerprint():
    one, other = (ModelAdapter(SmallCNN(), CLASSES, resize(), "body.4", name) for name in ("one", "other"))
    assert one.module is not other.module
    assert one.fingerprint == other.fingerprint
    assert len(one.fingerprint) == 16
    assert int(one.fingerprint, 16) >= 0


def change(name: str, value: float = 1e-3) -> Callable[[], ModelAdapter]:
    def make() -> ModelAdapter:
        network = SmallCNN()
        network.state_dict()[name].view(-1)[0] += value
        return adapt(network, "body.4")

    return make


@pytest.mark.parametrize(
    "other",
    [
        change("body.0.weight"),
        change("head.bias"),
        change("body.1.running_mean"),
        change("body.1.num_batches_tracked", 1),
        lambda: ModelAdapter(SmallCNN(), CLASSES[::-1], resize(), "body.4"),
        lambda: adapt(SmallCNN(), "body.0"),
        lambda: adapt(SmallCNN(), None),
        lambda: adapt(SmallCNN(), "body.4", resize(41)),
        lambda: adapt(SmallCNN().double(), "body.4"),
    ],
    ids=["weight", "bias", "running mean", "counter", "class order", "layer", "no layer", "transform", "precision"],
)
def test_whatever_decides_a_pixel_changes_the_fingerprint(other):
    assert other().fingerprint != adapt(SmallCNN(), "body.4").fingerprint


def test_the_architecture_is_part_of_the_fingerprint():
    network = SmallCNN()
    network.body[2] = nn.GELU()
    assert network.state_dict().keys() == SmallCNN().state_dict().keys()
    assert adapt(network, "body.4").fingerprint != adapt(SmallCNN(), "body.4").fingerprint


def test_a_setting_that_no_weight_and_no_name_shows_is_part_of_the_fingerprint():
    """As the number of heads of an attention."""

    class Scaled(SmallCNN):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.scale = scale

    assert repr(Scaled(1.0)) == repr(Scaled(2.0))
    assert adapt(Scaled(1.0)).fingerprint != adapt(Scaled(2.0)).fingerprint


def test_the_mode_of_the_network_is_not_part_of_the_fingerprint():
    assert adapt(SmallCNN().train()).fingerprint == adapt(SmallCNN()).fingerprint


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_every_floating_type_has_a_fingerprint(kind):
    assert adapt(SmallCNN().to(kind)).fingerprint == adapt(SmallCNN().to(kind)).fingerprint


def test_classes_that_appear_twice_are_refused():
    with pytest.raises(ModelError, match=r"`classes` to be distinct, but \['cake'\] appear more than once"):
        ModelAdapter(SmallCNN(), ("cake", "bread", "cake"), resize())


@pytest.mark.parametrize("classes", [None, [], "cake"])
def test_missing_classes_are_refused(classes):
    with pytest.raises(ModelError, match="Expected `classes` to list the class names in the order of the logits"):
        check_classes(classes, "SmallCNN")


def test_classes_become_text():
    assert check_classes(range(3), "SmallCNN") == ("0", "1", "2")


@pytest.mark.parametrize("count", [2, 4])
def test_more_or_fewer_classes_than_logits_are_refused(count):
    model = ModelAdapter(SmallCNN(), tuple("abcd"[:count]), resize())
    with pytest.raises(ModelError, match=f"the model returns 3 logits and `classes` has {count} names"):
        model.logits(draw(2))


class Returning(nn.Module):
    def __init__(self, output: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.output = output

    def forward(self, images: Tensor) -> object:
        return self.output(images)


@pytest.mark.parametrize(
    ("output", "got"),
    [
        (lambda x: x, r"\(2, 3, 40, 40\)"),
        (lambda x: x.mean(dim=(1, 2, 3)), r"\(2,\)"),
        (lambda x: x.mean(dim=(2, 3))[:1], r"\(1, 3\)"),
        (lambda x: [x], "list"),
        (lambda x: {"logits": x}, "dict"),
        (lambda x: None, "NoneType"),
    ],
)
def test_a_network_that_returns_no_logits_is_refused(output, got):
    with pytest.raises(ModelError, match=rf"a tensor of logits \(N, K\) for N=2, but got {got}"):
        adapt(Returning(output)).logits(draw(2))


def test_logits_inside_an_output_object_are_found():
    """As Hugging Face's models return them."""
    network = Returning(lambda x: SimpleNamespace(logits=x.mean(dim=(2, 3))))
    assert torch.equal(adapt(network).logits(draw(2)), draw(2).mean(dim=(2, 3)))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)],
)
def test_logits_are_float32_or_finer_whatever_the_network_and_the_images(kind, expected):
    assert adapt(SmallCNN().to(kind)).logits(draw(1).double()).dtype == expected


def test_a_score_is_a_logit_or_the_difference_of_two():
    network, images = LinearModel(), draw(3, 8)
    logits = network(images)
    targets = (Target(0, "red"), Target(1, "green − red", 0), Target(2, "blue"))
    batch = Batch(images, targets, (1, 2, 3))
    expected = torch.stack([logits[0, 0], logits[1, 1] - logits[1, 0], logits[2, 2]])
    assert torch.allclose(batch.scores(logits), expected)
    assert torch.allclose(batch.score_function(adapt(network))(images, *batch.columns), expected)


def test_a_score_on_request_is_a_probability_or_the_difference_of_two():
    logits = torch.tensor([[0.0, 1000.0, 999.0], [1.0, 2.0, 3.0]])
    batch = Batch(draw(2), (Target(1, "green"), Target(2, "blue − red", 0)), (1, 2), "softmax")
    e = torch.tensor([1.0, 2.0, 3.0]).exp()
    expected = torch.stack([1 / (1 + torch.tensor(-1.0).exp()), (e[2] - e[0]) / e.sum()])
    assert torch.allclose(batch.scores(logits), expected)


def test_a_lent_model_is_in_evaluation_without_in_place_activations_and_differentiates():
    network = SmallCNN().train()
    with torch.no_grad(), adapt(network).explaining():
        assert not any(m.training for m in network.modules())
        assert not any(getattr(m, "inplace", False) for m in network.modules())
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


def test_a_lent_model_may_be_lent_twice():
    network = SmallCNN().train()
    before, model = Snapshot.of(network), adapt(network)
    with model.explaining(), model.explaining():
        network(draw(1).requires_grad_(True)).sum().backward()
    assert before.differences(Snapshot.of(network)) == []


def test_a_failed_loan_gives_everything_back():
    network = SmallCNN().train()
    before = Snapshot.of(network)

    def fail() -> None:
        with adapt(network).explaining():
            network(draw(1).requires_grad_(True)).sum().backward()
            raise ZeroDivisionError("division by zero")

    with pytest.raises(ZeroDivisionError, match="division"):
        fail()
    assert before.differences(Snapshot.of(network)) == []


def test_nothing_below_the_image_is_differentiated():
    """Parameter gradients cost time and memory, and are the user's."""
    network = SmallCNN()
    with adapt(network).explaining():
        assert not network(draw(1)).requires_grad
    assert all(p.requires_grad for p in network.parameters())


def test_a_network_made_in_inference_mode_differentiates_and_keeps_its_tensors():
    with torch.inference_mode():
        network = SmallCNN()
    tensors = dict(network.state_dict(keep_vars=True))
    images = draw(1).requires_grad_(True)
    with adapt(network).explaining():
        network(images).sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(tensors[name] is tensor for name, tensor in network.state_dict(keep_vars=True).items())


def test_a_model_without_parameters_lives_on_the_cpu_in_float32():
    model = adapt(Returning(lambda x: x.mean(dim=(2, 3))))
    assert (model.device, model.dtype) == (torch.device("cpu"), torch.float32)


@pytest.mark.parametrize(
    ("given", "numbered"),
    [
        (["cake", "bread", "cake"], ("cake (0)", "bread", "cake (2)")),
        (["cake", "cake", "cake (1)"], ("cake (0)", "cake (1) (1)", "cake (1) (2)")),
        ([1, "1", True], ("1 (0)", "1 (1)", "True")),
    ],
)
def test_classes_of_one_name_are_told_apart_by_their_columns(given, numbered, caplog):
    assert load(SmallCNN(), given, resize()).classes == numbered
    (told,) = [record.message for record in caplog.records]
    assert told.startswith(f"Classes of SmallCNN share names; they are told apart by their columns: '{numbered[0]}', ")
    assert load(adapt(SmallCNN()), given).classes == numbered, "also where other classes are given to a model"


def test_classes_of_different_names_are_left_alone(caplog):
    assert load(SmallCNN(), ["a", "b", "c (1)"], resize()).classes == ("a", "b", "c (1)")
    assert not caplog.records
