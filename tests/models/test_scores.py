"""What a model's numbers are: logits or probabilities, of classes that exclude each other or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fiftyone_saliency.core.errors import ArgumentError, ModelError, UnknownNameError
from fiftyone_saliency.core.targets import TargetSpec, parse_target
from fiftyone_saliency.models.load import load
from fiftyone_saliency.runtime.worker import Explainer, Predictor
from tests.oracles import CLASSES, SmallCNN, adapt, draw, load_chunk, method, resize

TWO = ("cat", "dog")
IMAGES = draw(4)


class Ending(nn.Module):
    """`SmallCNN`, louder, and what comes after its logits."""

    def __init__(self, end: Callable[[Tensor], Tensor] | nn.Module, classes: int = 3) -> None:
        super().__init__()
        self.network = SmallCNN(classes)
        self.end = end if isinstance(end, nn.Module) else None
        self._function = end

    def forward(self, images: Tensor) -> Tensor:
        logits = self.logits(images)
        return self._function(logits) if self.end is None else self.end(logits)

    def logits(self, images: Tensor) -> Tensor:
        return 5 * self.network(images)


def logits_of(network: Ending) -> Tensor:
    with torch.no_grad():
        return network.eval().logits(IMAGES)


def found(model: Any) -> tuple[Tensor, Tensor, Any]:
    """Return the columns, the probabilities and the scoring."""
    with model.explaining(), torch.no_grad():
        columns = model.logits(IMAGES)
    return columns, model.probabilities(columns), model.scoring


def cut(values: Tensor) -> Tensor:
    return values.clamp(1e-3, 1)


SOFTMAX = {
    "module": nn.Softmax(dim=1),
    "function": lambda z: F.softmax(z, dim=1),
    "method": lambda z: z.softmax(-1),
    "keyword": lambda z: torch.softmax(input=z, dim=1),
    "then a view": lambda z: z.softmax(1).view(len(z), -1).float(),
    "temperature": lambda z: (z / 1).softmax(1),
}


@pytest.mark.parametrize("end", SOFTMAX.values(), ids=SOFTMAX)
@pytest.mark.parametrize("told", [None, "probabilities"])
def test_a_network_that_ends_in_a_softmax_is_read_before_it(end, told):
    network = Ending(end)
    columns, probabilities, scoring = found(load(network, CLASSES, resize(), scores=told))
    assert torch.equal(columns, logits_of(network))
    torch.testing.assert_close(probabilities, logits_of(network).double().softmax(1))
    assert (scoring.exclusive, scoring.probabilities, scoring.before) == (True, False, True)


SIGMOID = {
    "module": nn.Sigmoid(),
    "function": torch.sigmoid,
    "in place": lambda z: z.clone().sigmoid_(),
    "log": F.logsigmoid,
}


@pytest.mark.parametrize("end", SIGMOID.values(), ids=SIGMOID)
def test_a_network_that_ends_in_a_sigmoid_has_classes_that_do_not_exclude_each_other(end):
    network = Ending(end)
    columns, probabilities, scoring = found(load(network, CLASSES, resize()))
    torch.testing.assert_close(columns, logits_of(network))
    torch.testing.assert_close(probabilities, logits_of(network).double().sigmoid())
    assert scoring.exclusive is False


VALUES = {
    "an average of two": lambda z: (z.softmax(1) + (2 * z).softmax(1)) / 2,
    "exp of the logarithm": lambda z: z.log_softmax(1).exp(),
    "halves": lambda z: z.softmax(1).half(),
    "only to a thousandth": lambda z: z.softmax(1) * 1.0009,
}


@pytest.mark.parametrize("end", VALUES.values(), ids=VALUES)
def test_numbers_that_add_up_to_one_are_probabilities_wherever_they_come_from(end):
    network = Ending(end)
    columns, probabilities, scoring = found(load(network, CLASSES, resize()))
    expected = network(IMAGES).detach().float()
    torch.testing.assert_close(columns, expected)
    torch.testing.assert_close(probabilities, expected.double().clamp(0, 1))
    assert (scoring.exclusive, scoring.probabilities) == (True, True)


def test_an_average_of_sigmoids_is_known_by_the_sigmoid_and_its_values():
    network = Ending(lambda z: torch.stack([z.sigmoid(), (2 * z).sigmoid()]).mean(0))
    columns, probabilities, scoring = found(load(network, CLASSES, resize()))
    torch.testing.assert_close(probabilities, network(IMAGES).detach().double())
    assert (scoring.exclusive, scoring.probabilities) == (False, True)
    assert torch.equal(columns, network(IMAGES).detach())


@pytest.mark.parametrize("end", [lambda z: z, lambda z: z.log_softmax(1), lambda z: z / 100, lambda z: z * 0 + 0.5])
def test_logits_stay_logits(end):
    """Also small ones, and those that are the same for every image."""
    network = Ending(end, 2)
    columns, probabilities, scoring = found(load(network, TWO, resize()))
    assert torch.equal(columns, network(IMAGES).detach())
    torch.testing.assert_close(probabilities, network(IMAGES).detach().double().softmax(1))
    assert scoring.identity == (True, False, False, False)


@pytest.mark.parametrize("as_array", [True, False])
def test_probabilities_of_a_function_are_not_put_through_a_softmax_again(as_array, pictures):
    """A sure one has confidence 1, not e / (e + 1) = .731."""

    def sure(images: Tensor) -> Any:
        bright = (images.mean(dim=(1, 2, 3)) > 0.1).float()
        answers = torch.stack([bright, 1 - bright], dim=1)
        return answers.numpy().tolist() if as_array else answers

    model = load(sure, TWO, resize())
    results = Predictor(model)(load_chunk(pictures[:3], model)).results
    assert [p.confidence for p in results] == [1.0] * 3
    assert "they lie in [0, 1] and add up to 1" in str(model)
    for p in results:
        assert np.exp(p.logits).sum() == pytest.approx(1, abs=1e-6)


def test_what_a_function_returns_between_0_and_1_must_be_said_where_it_matters(pictures):
    def answers(images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3)).clamp(0.1, 0.9)

    model = load(answers, CLASSES, resize())
    (explained,) = Explainer(model, method("occlusion"), (TargetSpec("red"),), 51)(load_chunk(pictures[:2], model))
    assert len(explained.results) == 2, "the number itself is explained, whatever it is"
    with pytest.raises(
        ModelError, match=r"know what the scores of answers are, .* scores='sigmoid' .* scores='logits'"
    ):
        Predictor(model).probe()
    told = [load(answers, CLASSES, resize(), scores=scores) for scores in ("logits", "sigmoid")]
    expected = answers(IMAGES).double()
    torch.testing.assert_close(found(told[0])[1], expected.softmax(1))
    torch.testing.assert_close(found(told[1])[1], expected)
    assert found(load(model, scores="sigmoid"))[2].exclusive is False, "an adapted model can be told as well"


def test_logits_between_0_and_1_of_a_function_are_logits_if_told():
    network = Ending(lambda z: z.softmax(1))
    model = load(lambda images: network(images), CLASSES, resize(), scores="logits")
    torch.testing.assert_close(found(model)[1], network(IMAGES).detach().double().softmax(1))


ONE = {
    "(N, 1)": lambda z: z,
    "(N,)": lambda z: z[:, 0],
    "squeezed": torch.squeeze,
    "sigmoid": torch.sigmoid,
    "sigmoid, squeezed": lambda z: z.sigmoid().squeeze(),
    "sigmoid, (N,)": lambda z: z.sigmoid().squeeze(-1),
}


@pytest.mark.parametrize("end", ONE.values(), ids=ONE)
@pytest.mark.parametrize("told", [None, "sigmoid"])
@pytest.mark.parametrize("is_network", [True, False])
def test_one_number_is_two_classes(end, told, is_network):
    network = Ending(end, 1)
    source = network if is_network else lambda images: network(images).detach().numpy()
    columns, probabilities, scoring = found(load(source, TWO, resize(), scores=told))
    positive = logits_of(network)[:, 0].double().sigmoid()
    torch.testing.assert_close(probabilities, torch.stack([1 - positive, positive], dim=1), rtol=1e-5, atol=1e-6)
    assert (scoring.exclusive, scoring.single) == (True, True)
    assert torch.equal(columns.argmax(dim=1), (positive > 0.5).long())
    alone = load(source, TWO, resize(), scores=told).logits(IMAGES[:1])
    torch.testing.assert_close(alone, columns[:1], rtol=1e-5, atol=1e-6)


def test_one_number_with_one_class_must_be_said_where_it_matters():
    network = Ending(lambda z: z, 1)
    with pytest.raises(
        ModelError, match=r"one class, whose softmax is always 1\. Pass two classes .* scores='sigmoid'"
    ):
        Predictor(load(network, ["dog"], resize())).probe()
    _, probabilities, scoring = found(load(network, ["dog"], resize(), scores="sigmoid"))
    torch.testing.assert_close(probabilities, logits_of(network).double().sigmoid())
    assert scoring.exclusive is False


METHODS = [
    "saliency", "input_x_gradient", "integrated_gradients", "deep_lift", "gradient_shap", "grad_cam", "hires_cam",
    "occlusion", "rise", "feature_ablation", "kernel_shap", "recipro_cam", "ablation_cam", "guided_backprop",
]  # fmt: skip


class Linear(nn.Module):
    """One logit z of a small convolution."""

    def __init__(self, end: Callable[[Tensor], Tensor] = lambda z: z) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flat = nn.Flatten()
        self.head = nn.Linear(4, 1)
        self._end = end
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.conv.reset_parameters()
            self.head.reset_parameters()

    def forward(self, images: Tensor) -> Tensor:
        return self._end(self.head(self.flat(self.pool(self.relu(self.conv(images))))))


class AsTwo(Linear):
    """The same as two logits that a softmax takes: 0 and z."""

    def forward(self, images: Tensor) -> Tensor:
        return F.pad(super().forward(images), (1, 0))


def explain(network: nn.Module, name: str, target: str, chunk_of: list[str], output: str = "logits") -> Any:
    parameters = {"masks": 16} if name == "rise" else {"samples": 16} if name == "kernel_shap" else {}
    model = load(network.eval(), TWO, resize(16))
    spec = parse_target(target, TWO)
    explainer = Explainer(model, method(name, **parameters), (spec,), 51, False, output)
    explainer.probe()
    (part,) = explainer(load_chunk(chunk_of, model))
    assert not part.failures
    return part.results


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("end", [lambda z: z, torch.sigmoid], ids=["logit", "sigmoid"])
def test_the_score_of_a_class_is_its_logit_over_the_others(name, end, pictures):
    """So that dog is z, cat is -z, and dog rather than cat is z, whatever explains it."""
    dog = explain(Linear(end), name, "dog", pictures[:2])
    cat = explain(Linear(end), name, "cat", pictures[:2])
    rather = explain(Linear(end), name, "dog - cat", pictures[:2])
    twin = explain(AsTwo(), name, "dog - cat", pictures[:2])
    against = explain(AsTwo(), name, "cat - dog", pictures[:2])
    for one, other, contrast, expected, negative in zip(dog, cat, rather, twin, against, strict=True):
        assert one.score == pytest.approx(-other.score) == pytest.approx(contrast.score)
        assert one.score == pytest.approx(expected.score)
        np.testing.assert_allclose(one.values, expected.values, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(other.values, negative.values, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(contrast.values, expected.values, rtol=1e-4, atol=1e-6)
        assert max(np.abs(one.values).max(), np.abs(other.values).max()) > 0
        assert (other.target.label, one.target.label) == TWO


@pytest.mark.parametrize("name", ["lrp", "lrp_composite"])
def test_relevance_of_one_number_adds_up_to_it(name, pictures):
    if name == "lrp_composite":
        pytest.importorskip("zennit")
    for sign, target in ((1, "dog"), (-1, "cat")):
        for network, output in ((Linear(), target), (AsTwo(), "dog - cat" if sign > 0 else "cat - dog")):
            for result in explain(network, name, output, pictures[:2]):
                with torch.no_grad():
                    z = float(Linear()(resize(16)(_open(result, pictures))[None]))
                assert result.score == pytest.approx(sign * z, abs=1e-5)


def _open(result: Any, pictures: list[str]) -> Any:
    from PIL import Image

    return Image.open(pictures[int(result.sample_id)])


def test_probabilities_of_one_number_are_explained_on_request(pictures):
    dog = explain(Linear(), "saliency", "dog", pictures[:2], "softmax")
    cat = explain(Linear(), "saliency", "cat", pictures[:2], "softmax")
    for one, other in zip(dog, cat, strict=True):
        assert 0 < one.score < 1
        assert one.score == pytest.approx(1 - other.score)
        np.testing.assert_allclose(one.values, other.values, rtol=1e-4, atol=1e-7)


def test_the_second_choice_of_one_number_is_the_other_class(pictures):
    for first, second in zip(
        *(explain(Linear(), "saliency", t, pictures[:3]) for t in ("top-1", "top-2")), strict=True
    ):
        assert {first.target.label, second.target.label} == set(TWO)
        assert first.score > 0 > second.score


def test_what_is_told_wrongly_is_refused():
    with pytest.raises(ModelError, match=r"add up to 1 .* as told, but an image got \[.*\]\. Pass scores='logits'"):
        found(load(SmallCNN(), CLASSES, resize(), scores="probabilities"))
    with pytest.raises(ModelError, match="as told, but the network ends in a softmax"):
        found(load(Ending(nn.Softmax(1)), CLASSES, resize(), scores="sigmoid"))
    with pytest.raises(UnknownNameError, match=r"value for `scores`, but got 'sigmoids'\. Did you mean `sigmoid`"):
        load(SmallCNN(), CLASSES, resize(), scores="sigmoids")


def test_told_probabilities_that_a_sigmoid_makes_are_refused():
    with pytest.raises(ModelError, match="scores='sigmoid' where the classes do not exclude each other"):
        found(load(Ending(nn.Sigmoid()), CLASSES, resize(), scores="probabilities"))


@pytest.mark.parametrize(
    ("end", "given", "expected"),
    [
        (lambda z: z, "logits", "logits"),
        (lambda z: z, "softmax", "softmax"),
        (nn.Softmax(1), "logits", "logits"),
        (torch.sigmoid, "sigmoid", "sigmoid"),
        (VALUES["an average of two"], "logits", "softmax"),
        (VALUES["an average of two"], "softmax", "softmax"),
    ],
)
def test_what_is_explained_is_said(end, given, expected):
    assert load(Ending(end), CLASSES, resize()).scoring.checked_output(given, "it") == expected


@pytest.mark.parametrize(("end", "given"), [(lambda z: z, "sigmoid"), (torch.sigmoid, "softmax")])
def test_a_probability_that_the_classes_do_not_have_is_refused(end, given):
    with pytest.raises(ArgumentError, match=r"whose classes (do not )?exclude each other, but got"):
        load(Ending(end), CLASSES, resize()).scoring.checked_output(given, "it")


def test_the_fingerprint_tells_readings_apart():
    def prints(scores: Any) -> str:
        return load(SmallCNN(), CLASSES, resize(), scores=scores).fingerprint

    assert prints(None) == prints("logits") != prints("sigmoid")
    assert prints(None) == adapt(SmallCNN()).fingerprint


def test_a_copy_with_other_weights_is_read_alike():
    model = load(Ending(VALUES["an average of two"]), CLASSES, resize())
    scoring = model.scoring
    twin = model.twin(SmallCNN())
    assert twin.scoring is scoring


def test_hugging_face_says_so_in_its_configuration():
    transformers = pytest.importorskip("transformers")
    labels = dict(enumerate(CLASSES))
    config = transformers.ResNetConfig(
        num_channels=3, embedding_size=4, hidden_sizes=[4], depths=[1], id2label=labels,
        problem_type="multi_label_classification",
    )  # fmt: skip
    network = transformers.ResNetForImageClassification(config).eval()
    model = load(network, transform=resize())
    _, probabilities, scoring = found(model)
    assert scoring.exclusive is False
    with torch.no_grad():
        torch.testing.assert_close(probabilities, network(IMAGES).logits.double().sigmoid())
    config.problem_type = "single_label_classification"
    assert found(load(network, transform=resize()))[2].exclusive is True


def test_a_function_that_always_says_the_same_is_sure():
    model = load(lambda images: F.one_hot(torch.ones(len(images)).long(), 3), CLASSES, resize())
    assert found(model)[1].tolist() == [[0, 1, 0]] * 4


def test_a_function_that_returns_no_numbers_is_refused_in_words():
    with pytest.raises(ModelError, match=r"return scores \(N, K\), a tensor or array, but got a dict"):
        load(lambda images: {"scores": images}, CLASSES, resize())


BOUNDED = {
    "hard": F.hardsigmoid,
    "by tanh": lambda z: (z / 2).tanh() * 0.5 + 0.5,
    "by hand": lambda z: 1 / (1 + (-z).exp()),
}


@pytest.mark.parametrize("end", BOUNDED.values(), ids=BOUNDED)
def test_a_network_that_hides_its_sigmoid_is_asked_about(end):
    """Its numbers lie in [0, 1] whatever the image, but nothing says of what they are probabilities."""
    model = load(Ending(end), CLASSES, resize())
    with pytest.raises(ModelError, match="know what the scores of Ending are"):
        found(model)
    for source in (Ending(end), lambda images: Ending(end)(images)):
        probabilities = found(load(source, CLASSES, resize(), scores="sigmoid"))[1]
        torch.testing.assert_close(probabilities, Ending(end)(IMAGES).detach().double())
    one = Ending(end, 1)
    columns, probabilities, scoring = found(load(one, TWO, resize()))
    torch.testing.assert_close(probabilities[:, 1], one(IMAGES).detach().double()[:, 0])
    assert (scoring.single, scoring.probabilities) == (True, True)
    assert columns.shape == (4, 2)


BY_HAND = {
    "exp over its sum": lambda z: z.exp() / z.exp().sum(1, keepdim=True),
    "shifted": lambda z: (z - z.amax(1, keepdim=True)).exp() / (z - z.amax(1, keepdim=True)).exp().sum(1, keepdim=True),
}


@pytest.mark.parametrize("end", BY_HAND.values(), ids=BY_HAND)
@pytest.mark.parametrize("told", [None, "probabilities"])
def test_a_softmax_by_hand_gets_no_second_one(end, told):
    network = Ending(end)
    _, probabilities, scoring = found(load(network, CLASSES, resize(), scores=told))
    torch.testing.assert_close(probabilities, network(IMAGES).detach().double())
    assert (scoring.exclusive, scoring.probabilities) == (True, True)


@pytest.mark.parametrize("end", BOUNDED.values(), ids=BOUNDED)
def test_sigmoids_are_no_probabilities_that_exclude_each_other(end):
    with pytest.raises(ModelError, match="add up to 1 for each image, as told, but"):
        found(load(Ending(end), CLASSES, resize(), scores="probabilities"))
    columns, probabilities, scoring = found(load(Ending(end), CLASSES, resize(), scores="logits"))
    torch.testing.assert_close(probabilities, columns.double().softmax(1))
    assert scoring.identity == (True, False, False, False)
    one = Ending(end, 1)
    for told in ("probabilities", "sigmoid"):
        _, probabilities, scoring = found(load(one, TWO, resize(), scores=told))
        torch.testing.assert_close(probabilities[:, 1], one(IMAGES).detach().double()[:, 0])


def test_a_network_that_takes_no_odd_images_is_asked_with_others():
    """What an image far from any photo raises is no error of the run."""

    class Careful(Ending):
        def forward(self, images: Tensor) -> Tensor:
            if images.min() < 0 or images.max() > 1:
                raise ValueError("Expected an image in [0, 1].")
            return super().forward(images)

    model = load(Careful(F.hardsigmoid), CLASSES, resize(), scores="sigmoid")
    torch.testing.assert_close(found(model)[1], Ending(F.hardsigmoid)(IMAGES).detach().double())


def test_a_first_pass_under_hooks_is_one_pass():
    """A method's hooks may stand on the network: what its numbers are is asked on only afterwards."""
    network = Ending(lambda z: z.abs() / 10)
    model = load(network, CLASSES, resize())
    calls = []
    handle = network.register_forward_hook(lambda *_: calls.append(1))
    with model.explaining(), torch.no_grad():
        columns = [model.logits(IMAGES) for _ in range(2)]
    handle.remove()
    assert len(calls) == 2
    assert torch.equal(*columns)
    assert model.scoring.identity == (True, False, False, False)
