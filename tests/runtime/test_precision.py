"""The trunk runs in bfloat16 only where that is faster and the maps stay the same; the record says which."""

from __future__ import annotations

import time

import pytest
import torch

import fiftyone_saliency as fos
from fiftyone_saliency.core.targets import TargetSpec
from fiftyone_saliency.runtime import precision
from fiftyone_saliency.runtime.precision import Choice, choose_precision, in_precision, supports_bfloat16
from fiftyone_saliency.runtime.worker import Explainer
from tests.models_for_tests import CLASSES as COLOURS
from tests.models_for_tests import CROP, ColourNet, png_bytes
from tests.oracles import SmallCNN, adapt, load_chunk, loaded, method

QUIET = {"progress": False, "num_workers": 2}


def explainer(network: torch.nn.Module | None = None) -> Explainer:
    return Explainer(adapt(network or SmallCNN()), method("grad_cam"), (TargetSpec("red"),), 51)


@pytest.fixture
def probe(pictures):
    return loaded(load_chunk(pictures[:4], explainer().model))


def choose(wide: Explainer, probe: list) -> Choice:
    return choose_precision(wide, in_precision(wide, "bfloat16"), probe)


def pretend(monkeypatch: pytest.MonkeyPatch, speedup: float) -> None:
    measure = precision._timed_maps
    monkeypatch.setattr(
        precision, "_timed_maps", lambda e, i: (measure(e, i)[0], speedup if e.precision == "float32" else 1.0)
    )


def test_a_format_that_is_not_faster_is_not_taken(probe, monkeypatch):
    pretend(monkeypatch, 1.05)
    assert choose(explainer(), probe).precision == "float32"
    assert "1.05 times as fast" in choose(explainer(), probe).reason


@pytest.mark.parametrize("slow", [True, False])
def test_the_format_that_takes_longer_is_known_from_a_clock(probe, slow):
    class Slow(SmallCNN):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if torch.is_autocast_enabled("cpu") is slow:
                time.sleep(0.3)
            return super().forward(images)

    reason = choose(explainer(Slow()), probe).reason
    assert ("rank correlation" in reason) is not slow
    assert reason.startswith("bfloat16 is 0.") is slow


def test_a_faster_format_that_ranks_the_pixels_alike_is_taken(probe, monkeypatch):
    pretend(monkeypatch, 2.0)
    monkeypatch.setattr(precision, "MIN_CORRELATION", 0.95)
    choice = choose(explainer(), probe)
    assert choice.precision == "bfloat16"
    assert choice.reason.startswith("bfloat16 is 2.00 times as fast, rank correlation with float32 0.9")


def test_a_faster_format_that_ranks_the_pixels_otherwise_is_not_taken(probe, monkeypatch):
    """Differences of large numbers are lost in eight bits of mantissa."""

    class Cancelling(SmallCNN):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images * 1e-3 + 1)

    pretend(monkeypatch, 2.0)
    choice = choose(explainer(Cancelling()), probe)
    assert choice.precision == "float32"
    assert "rank correlation" in choice.reason


def test_a_network_of_another_format_and_a_black_box_keep_theirs():
    assert not supports_bfloat16(explainer(SmallCNN().double()))
    assert not supports_bfloat16(explainer(SmallCNN().to(torch.bfloat16)))


def test_the_head_stays_in_float32(probe):
    """Only what is below the recorded layer is narrow."""
    kinds = {}
    network = SmallCNN()
    for name in ("body.0", "head"):
        network.get_submodule(name).register_forward_hook(lambda _m, _i, o, name=name: kinds.update({name: o.dtype}))
    model = adapt(network, "body.6")
    assert model.scoring.exclusive  # what the numbers are is asked once, before
    explain = Explainer(model, method("grad_cam"), (TargetSpec("red"),), 51, precision="bfloat16")
    assert len(explain(probe)[0].results) == 4
    assert kinds == {"body.0": torch.bfloat16, "head": torch.float32}


def test_a_run_goes_on_in_the_format_it_has(colours, monkeypatch):
    model = fos.load_model(ColourNet(), COLOURS, CROP)
    first = fos.compute_saliency(colours.limit(4), model, precision="bfloat16", **QUIET)
    assert (first.request.precision, first.details["precision"]) == ("bfloat16", "asked for")
    second = fos.compute_saliency(colours, model, **QUIET)
    assert (second.key, second.counts.resumed, second.counts.done) == (first.key, 4, 12)
    assert second.details["precision"] == "asked for"


def test_another_format_that_is_asked_for_is_another_run(colours):
    model = fos.load_model(ColourNet(), COLOURS, CROP)
    fos.compute_saliency(colours, model, precision="bfloat16", **QUIET)
    before = png_bytes(colours)
    with pytest.raises(fos.SaliencyError, match="to be free or to hold run"):
        fos.compute_saliency(colours, model, precision="float32", **QUIET)
    assert png_bytes(colours) == before
    run = fos.compute_saliency(colours, model, precision="float32", overwrite=True, **QUIET)
    assert run.request.precision == "float32"
    assert len(fos.list_runs(colours)) == 1


def test_many_samples_are_probed_and_the_record_tells_what_was_found(colours, monkeypatch):
    monkeypatch.setattr("fiftyone_saliency.api.compute.MIN_SAMPLES", 12)
    pretend(monkeypatch, 3.0)
    monkeypatch.setattr(precision, "MIN_CORRELATION", 0.9)
    model = fos.load_model(ColourNet(), COLOURS, CROP)
    run = fos.compute_saliency(colours, model, **QUIET)
    assert run.request.precision == "bfloat16"
    assert fos.load_run(colours, run.key).details["precision"].startswith("bfloat16 is 3.00 times as fast, rank")
    assert run.details["layer"] == "relu"
    assert run.details["device"] == "cpu"
    other = fos.compute_saliency(colours, model, "gradients", method="input_x_gradient", **QUIET)
    assert other.request.precision == "float32"


@pytest.mark.parametrize(("number_format", "looks_only"), [("bfloat16", True), ("float32", False)])
def test_the_samples_of_a_narrow_run_go_through_the_folded_twin(colours, number_format, looks_only):
    """What the model itself sees is one drawn image at a time, before the run; the twin has no such layer."""
    network, seen = SmallCNN(), []
    network.body[1].register_forward_hook(lambda _module, _inputs, output: seen.append(len(output)))
    state = {name: value.clone() for name, value in network.state_dict().items()}
    model = fos.load_model(network, COLOURS, CROP)

    run = fos.compute_saliency(colours, model, precision=number_format, batch_size=6, **QUIET)

    assert run.counts.done == 12
    assert (max(seen) == 1) is looks_only
    assert isinstance(network.body[1], torch.nn.BatchNorm2d)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_a_build_without_onednn_computes_in_float32(monkeypatch):
    """PyTorch for macOS on arm64 registers no operator of oneDNN at all."""
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not supports_bfloat16(explainer(SmallCNN()))


@pytest.mark.parametrize(("capability", "supported"), [("AVX2", False), ("NO AVX", False), ("AVX512", True)])
def test_bfloat16_is_for_cpus_that_need_not_emulate_it(monkeypatch, capability, supported):
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert supports_bfloat16(explainer(SmallCNN())) is supported
