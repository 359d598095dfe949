"""Black boxes: ONNX files and plain functions, of which only the answers are seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from fiftyone_saliency.core.errors import ArgumentError, ModelError
from fiftyone_saliency.core.targets import TargetSpec
from fiftyone_saliency.methods._attribute import attribute
from fiftyone_saliency.models.load import load
from fiftyone_saliency.runtime.worker import Explainer, Predictor
from tests.oracles import CLASSES, SIDE, PatchModel, SmallCNN, adapt, batch, draw, load_chunk, method, resize

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


class TwoInputs(nn.Module):
    def forward(self, images: Tensor, size: Tensor) -> Tensor:
        return images.mean(dim=(2, 3)) * size


def export(
    network: nn.Module, path: Path, rows: int | None = None, dtype: torch.dtype = torch.float32, beside: bool = False
) -> Path:
    """Write a network to an ONNX file; `rows` fixes its batch, `beside` puts its tensors into a file of their own."""
    example = draw(rows or 2).to(dtype)
    dynamic = None if rows else ({0: torch.export.Dim("rows")},)
    program = torch.onnx.export(
        network.to(dtype), (example,), dynamo=True, verbose=False, dynamic_shapes=dynamic, input_names=["pixels"]
    )
    program.save(path, external_data=beside)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("onnx")
    files = {f"batch of {rows}": export(SmallCNN(), folder / f"{rows}.onnx", rows) for rows in (1, 4)}
    files["any batch"] = export(SmallCNN(), folder / "any.onnx")
    files["half"] = export(SmallCNN(), folder / "half.onnx", 1, torch.float16)
    files["beside"] = export(SmallCNN(), folder / "beside.onnx", beside=True)
    return files


@pytest.mark.parametrize("kind", ["batch of 1", "batch of 4", "any batch", "half", "beside"])
@pytest.mark.parametrize("count", [1, 3, 6])
def test_an_onnx_file_answers_as_the_network_that_it_was(kind, count, files):
    model = load(str(files[kind]), CLASSES, resize())
    images = draw(count)
    tolerance = 5e-3 if kind == "half" else 1e-5
    with torch.no_grad():
        torch.testing.assert_close(model.logits(images), SmallCNN()(images), rtol=tolerance, atol=tolerance)
    assert (model.name, model.differentiable, model.classes) == (files[kind].name, False, CLASSES)


@pytest.mark.parametrize("as_tensor", [True, False])
def test_a_function_answers_as_it_is(as_tensor):
    """It is given float32 on the CPU, without a graph, and may return an array."""
    network, seen = SmallCNN(), []

    def scores(images: Tensor) -> Any:
        seen.append((images.dtype, images.device.type, images.requires_grad, torch.is_grad_enabled()))
        return network(images) if as_tensor else network(images).numpy().astype(np.float64)

    model = load(scores, CLASSES, resize())
    answer = model.logits(draw(3).double().requires_grad_())
    torch.testing.assert_close(answer, network(draw(3)).detach().to(answer.dtype))
    assert not answer.requires_grad
    assert set(seen) == {(torch.float32, "cpu", False, False)}
    assert (model.name, model.differentiable) == ("scores", False)


def test_a_black_box_is_explained_by_occlusion_as_the_network_is(files):
    images = batch(draw(2), 1)
    expected = attribute(method("occlusion"), adapt(SmallCNN()), images).values
    for source in (files["any batch"], files["batch of 1"], SmallCNN().forward):
        found = attribute(method("occlusion"), load(source, CLASSES, resize()), images).values
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_what_a_function_looks_at_is_found():
    network = PatchModel()
    model = load(lambda images: network(images).numpy(), CLASSES, resize(SIDE))
    values = attribute(method("occlusion", window=0.2, stride=0.1), model, batch(draw(1), 1)).values
    row, column = divmod(int(values[0].argmax()), values.shape[2])
    assert 16 <= (row + 0.5) * SIDE / values.shape[1] <= 24
    assert 8 <= (column + 0.5) * SIDE / values.shape[2] <= 16


def test_a_black_box_predicts_and_explains_files(pictures, files):
    model = load(files["batch of 1"], CLASSES, resize())
    chunk = load_chunk(pictures[:3], model)
    expected = Predictor(adapt(SmallCNN()))(chunk).results
    assert [p.label for p in Predictor(model)(chunk).results] == [p.label for p in expected]
    (found,) = Explainer(model, method("occlusion"), (TargetSpec("red"),), 51)(chunk)
    assert len(found.results) == 3
    assert found.failures == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"transform": resize()}, r"Expected `classes` .* for any\.onnx"),
        ({"classes": CLASSES}, r"`transform`, the preprocessing that any\.onnx was trained with"),
    ],
)
def test_what_a_file_does_not_say_must_be_said(arguments, expected, files):
    with pytest.raises(ModelError, match=expected):
        load(files["any batch"], **arguments)


@pytest.mark.parametrize("content", [None, b"", b"no network"])
def test_a_file_that_is_no_onnx_file_is_refused_by_its_name(content, tmp_path):
    path = tmp_path / "mine.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"mine\.onnx to be an ONNX file, but got: \S"):
        load(path, CLASSES, resize())


def test_a_file_with_two_inputs_is_refused(tmp_path):
    path = tmp_path / "two.onnx"
    torch.onnx.export(TwoInputs().eval(), (draw(1), torch.ones(1)), dynamo=True, verbose=False).save(path)
    with pytest.raises(ModelError, match=r"one float input \(N, C, H, W\), but got images tensor\(float\) .*, size"):
        load(path, CLASSES, resize())


def test_a_function_that_answers_otherwise_is_refused():
    with pytest.raises(ModelError, match=r"tensor of logits \(N, K\) for N=1, but got \(1,\)"):
        load(lambda images: images.mean(dim=(1, 2, 3)), CLASSES, resize())
    with pytest.raises(ModelError, match="the model returns 3 logits and `classes` has 2 names"):
        load(lambda images: images.mean(dim=(2, 3)), CLASSES[:2], resize())


@pytest.mark.parametrize("argument", ["weights", "prompts"])
def test_what_a_black_box_has_no_use_for_is_refused(argument):
    with pytest.raises(ArgumentError, match=f"`{argument}` only with .* for mean"):
        load(torch.mean, CLASSES, resize(), **{argument: ["{}"]})


def louder() -> SmallCNN:
    network = SmallCNN()
    with torch.no_grad():
        network.body[4].weight *= 1.5  # large enough to lie beside the file
    return network


def test_the_fingerprint_of_a_file_covers_its_content_and_the_tensors_beside_it(tmp_path, files):
    def prints(path: Path) -> str:
        return load(path, CLASSES, resize()).fingerprint

    first = prints(files["beside"])
    assert first == prints(files["beside"])
    assert (files["beside"].parent / "beside.onnx.data").is_file()
    same = export(SmallCNN(), tmp_path / "beside.onnx", beside=True)
    other = tmp_path / "other"
    other.mkdir()
    export(louder(), other / "beside.onnx", beside=True)
    (other / "beside.onnx").write_bytes(same.read_bytes())
    assert prints(other / "beside.onnx") != prints(same), "the tensors lie in another file"
    assert len({first, prints(files["any batch"]), prints(files["batch of 1"])}) == 3


def test_the_fingerprint_of_a_function_covers_its_name_and_answers():
    def prints(function: Callable[..., Any], **changes: Any) -> str:
        return load(function, **{"classes": CLASSES, "transform": resize()} | changes).fingerprint

    def scores(images: Tensor) -> Tensor:
        return network(images)

    network = SmallCNN()
    first = prints(scores)
    assert first == prints(scores)
    others = [
        prints(network.forward),
        prints(scores, classes=("a", "b", "c")),
        prints(scores, transform=resize(24)),
    ]
    network = louder()
    assert len({first, prints(scores), *others}) == 5


def test_a_picture_reaches_a_function_as_its_transform_made_it():
    seen: list[Tensor] = []

    def scores(images: Tensor) -> Tensor:
        seen.append(images)
        return images.mean(dim=(2, 3))

    model = load(scores, CLASSES, resize(8))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    model.logits(model.prepare(picture)[0][None])
    assert torch.equal(seen[-1][0], resize(8)(picture))


@pytest.mark.parametrize("end", [nn.Softmax(dim=1), nn.Sigmoid(), nn.Identity()], ids=["softmax", "sigmoid", "nothing"])
def test_the_probabilities_of_a_file_stay_what_they_are(end, tmp_path):
    """A file says itself that it ends in a sigmoid, and shows by its sums that it ends in a softmax."""
    network = nn.Sequential(louder(), end).eval()
    torch.onnx.export(network, (draw(1),), dynamo=True, verbose=False).save(tmp_path / "ends.onnx")
    model = load(tmp_path / "ends.onnx", CLASSES, resize())
    with torch.no_grad():
        answers = network(draw(1)).double()
        columns = model.logits(draw(1))
    expected = answers.softmax(1) if isinstance(end, nn.Identity) else answers
    torch.testing.assert_close(model.probabilities(columns), expected, rtol=1e-5, atol=1e-6)
    assert model.scoring.exclusive is not isinstance(end, nn.Sigmoid)
    assert model.scoring.probabilities is not isinstance(end, nn.Identity)
