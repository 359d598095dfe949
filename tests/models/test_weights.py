"""Weights of a local file: whatever saved them, and never code."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.models.load import load
from fiftyone_saliency.models.weights import load_weights
from tests.oracles import CLASSES, Snapshot, draw, resize


def small(seed: int = 1, width: int = 4, classes: int = 3) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)).eval()


def partly_compiled() -> nn.Module:
    network = small()
    network[0] = torch.compile(network[0])
    return network


class Lightning(nn.Module):
    """A network that holds its network as `model`, as training loops do."""

    def __init__(self) -> None:
        super().__init__()
        self.model = small()


STATES: dict[str, Callable[[], dict[str, Any]]] = {
    "alone": lambda: small().state_dict(),
    "in state_dict": lambda: {"state_dict": small().state_dict(), "epoch": 3, "args": {"lr": 0.1}},
    "in model": lambda: {"model": small().state_dict(), "optimizer": {"state": {}}},
    "in model_state_dict": lambda: {"epoch": 3, "model_state_dict": small().state_dict()},
    "of DataParallel": lambda: nn.DataParallel(small()).state_dict(),
    "of torch.compile": lambda: torch.compile(small()).state_dict(),
    "of torch.compile in DataParallel": lambda: {"state_dict": nn.DataParallel(torch.compile(small())).state_dict()},
    "of a part that was compiled": lambda: partly_compiled().state_dict(),
    "of a training loop": lambda: {"state_dict": Lightning().state_dict()},
    "in half precision": lambda: {k: v.half() if v.is_floating_point() else v for k, v in small().state_dict().items()},
}


def save(state: dict[str, Any], path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, path)
    else:
        torch.save(state, path)
    return path


def same_answers(network: nn.Module, tolerance: float = 0.0) -> bool:
    with torch.no_grad():
        return torch.allclose(network(draw()), small()(draw()), rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", STATES)
def test_a_network_takes_its_weights_however_they_were_saved(kind, tmp_path):
    network = small(seed=2)
    assert not same_answers(network)
    load(network, CLASSES, resize(), weights=save(STATES[kind](), tmp_path / "weights.pt"))
    assert same_answers(network, 1e-3 if kind == "in half precision" else 0)
    assert all(p.dtype == torch.float32 for p in network.parameters())


@pytest.mark.parametrize("kind", ["alone", "of DataParallel", "of torch.compile"])
def test_safetensors_are_read(kind, tmp_path):
    network = small(seed=2)
    load(network, CLASSES, resize(), weights=str(save(STATES[kind](), tmp_path / "weights.safetensors")))
    assert same_answers(network)


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile], ids=["DataParallel", "compile"])
def test_a_wrapped_network_takes_the_weights_of_a_plain_one(wrap, tmp_path):
    network = small(seed=2)
    load_weights(wrap(network), save(STATES["alone"](), tmp_path / "weights.pt"), "mine")
    assert same_answers(network)


def test_files_from_before_the_counter_of_batches_are_read(tmp_path):
    state = {k: v for k, v in small().state_dict().items() if not k.endswith("num_batches_tracked")}
    network = small(seed=2)
    load_weights(network, save(state, tmp_path / "weights.pt"), "mine")
    assert same_answers(network)


def without(state: dict[str, Tensor], *names: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key not in names}


UNFIT: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "missing": (lambda: without(small().state_dict(), "3.weight", "3.bias"), r"missing 3\.weight, 3\.bias\."),
    "unknown": (lambda: small().state_dict() | {"4.weight": torch.ones(1)}, r"unknown 4\.weight\."),
    "shape": (lambda: small(classes=5).state_dict(), r"size mismatch for 3\.weight \(5, 4\) instead of \(3, 4\), 3\.b"),
    "many": (lambda: small(width=6).state_dict(), r"size mismatch for .*, .*, .* and 4 more\. Use the architecture"),
}


@pytest.mark.parametrize("kind", UNFIT)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_weights_that_do_not_fit_say_why_and_leave_the_network_as_it_was(kind, suffix, tmp_path):
    make, reason = UNFIT[kind]
    path = save(make(), tmp_path / f"weights{suffix}")
    network = small(seed=2).train()
    before = Snapshot.of(network)
    with pytest.raises(ModelError, match=rf"weights\{suffix} to hold a state dict for Sequential, but got: .*{reason}"):
        load(network, CLASSES, resize(), weights=path)
    assert before.differences(Snapshot.of(network)) == []


@pytest.mark.parametrize("argument", ["classes", "transform", "layer"])
def test_what_else_is_wrong_leaves_the_network_as_it_was(argument, tmp_path):
    """Weights come last: after a refusal the caller's network must not hold others than before."""
    path = save(STATES["alone"](), tmp_path / "weights.pt")
    arguments = {"classes": CLASSES, "transform": resize(), "layer": None}
    network = small(seed=2)
    before = Snapshot.of(network)
    with pytest.raises(ValueError, match="Expected"):
        load(network, **arguments | {argument: "nothing" if argument == "layer" else None}, weights=path)
    assert before.differences(Snapshot.of(network)) == []


def test_a_whole_pickled_network_is_refused_with_the_way_out(tmp_path):
    torch.save(small(), tmp_path / "weights.pt")
    network = small(seed=2)
    with pytest.raises(ModelError, match=r"running code.*torch\.save\(model\.state_dict\(\), path\) or safetensors"):
        load(network, CLASSES, resize(), weights=tmp_path / "weights.pt")


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x10\x00\x00\x00\x00\x00\x00\x00{}"])
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_file_of_something_else_is_refused_by_its_name(content, name, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=rf"{name} to hold a state dict for mine, but got: \S"):
        load_weights(small(), tmp_path / name, "mine")


class Loop(nn.Module):
    """A training loop's module, as Lightning saves it: network, loss, metric, and an average of the weights."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        self.net = small(seed)
        self.criterion = nn.CrossEntropyLoss(weight=torch.ones(3))
        self.accuracy = nn.Module()
        self.accuracy.register_buffer("correct", torch.zeros(()))
        self.ema_net = torch.optim.swa_utils.AveragedModel(small(seed=3))


def loop_state(**beside: Any) -> dict[str, Any]:
    return {"state_dict": Loop().state_dict(), "epoch": 3, "global_step": 7} | beside


def optimized() -> dict[str, Any]:
    network = small()
    optimizer = torch.optim.Adam(network.parameters())
    network(draw()).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def part_wrapped() -> dict[str, Tensor]:
    network = small()
    network[0] = nn.DataParallel(network[0])
    return network.state_dict()


CHECKPOINTS: dict[str, tuple[Callable[[], dict[str, Any]], list[str]]] = {
    "a loss beside": (lambda: small().state_dict() | {"criterion.weight": torch.ones(3)}, ["criterion.weight"]),
    "a prefix and a loss without it": (
        lambda: {f"net.{k}": v for k, v in small().state_dict().items()} | {"criterion.weight": torch.ones(3)},
        ["criterion.weight"],
    ),
    "of a training loop": (loop_state, ["criterion.weight", "accuracy.correct", "ema_net (9 tensors)"]),
    "a prefix of its own": (
        lambda: {f"classifier_v2.{k}": v for k, v in small().state_dict().items()} | {"loss.centers": torch.ones(3, 9)},
        ["loss.centers"],
    ),
    "an average beside": (
        lambda: {"model": small().state_dict(), "model_ema": small(seed=3).state_dict()},
        ["model_ema (8 tensors)"],
    ),
    "student and teacher": (
        lambda: {
            "student": {f"module.{k}": v for k, v in small().state_dict().items()},
            "teacher": small(seed=3).state_dict(),
        },
        ["teacher (8 tensors)"],
    ),
    "an average alone": (lambda: {"state_dict_ema": small().state_dict(), "epoch": 3}, []),
    "an optimizer": (lambda: {"model": small().state_dict(), "optimizer": optimized()}, []),
    "a part in DataParallel": (part_wrapped, []),
    "a prefix on some names": (
        lambda: {f"model.{k}" if k.startswith("0") else k: v for k, v in small().state_dict().items()},
        [],
    ),
    "two names of one network": (
        lambda: {f"{p}.{k}": v for p in ("model", "net") for k, v in small().state_dict().items()},
        ["net (8 tensors)"],
    ),
    "of a profiler": (
        lambda: small().state_dict() | {"0.0.total_ops": torch.zeros(1), "total_params": torch.zeros(1)},
        [],
    ),
    "arguments and numbers": (
        lambda: {
            "model": small().state_dict(),
            "args": argparse.Namespace(lr=0.1, out=Path("runs")),
            "best": np.float64(0.9),
            "confusion": np.eye(3),
        },
        [],
    ),
    "deep inside": (lambda: {"checkpoint": {"network": {"weights": small().state_dict()}}}, []),
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_the_networks_part_is_found_and_the_rest_is_named(kind, tmp_path, caplog):
    make, rest = CHECKPOINTS[kind]
    network = small(seed=2)
    load_weights(network, save(make(), tmp_path / "weights.ckpt"), "mine")
    assert same_answers(network)
    told = [record.message for record in caplog.records]
    wanted = "mine took its weights from weights.ckpt; left out, as not its own: "
    assert told == ([wanted + ", ".join(rest) + "."] if rest else [])


class Held(nn.Module):
    """A network that holds its network, as a wrapper that normalises does."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.model = small(seed)

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)


@pytest.mark.parametrize("kind", ["alone", "of DataParallel", "of a training loop"])
def test_a_held_network_takes_the_weights_of_a_plain_one(kind, tmp_path):
    network = Held(seed=2)
    load_weights(network, save(STATES[kind](), tmp_path / "weights.pt"), "mine")
    assert same_answers(network)


UNLIKE: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "another head": (
        lambda: {"state_dict": small(classes=5).state_dict()},
        r"3\.weight \(5, 4\) instead of \(3, 4\), 3\.bias.* Its head has 5 classes, the network's 3: build the network "
        r"for 5 classes and pass those 5 `classes`",
    ),
    "a deeper network": (
        lambda: small().state_dict() | {"0.3.weight": torch.ones(4), "criterion.weight": torch.ones(3)},
        r"unknown 0\.3\.weight\. Use the architecture",
    ),
    "behind a prefix": (
        lambda: {f"net.{k}": v for k, v in without(small().state_dict(), "3.bias").items()},
        r"missing 3\.bias\. Use the architecture",
    ),
    "two networks": (
        lambda: {"encoder_q": small().state_dict(), "encoder_k": small(seed=3).state_dict()},
        r"several networks that fit, `encoder_q` and `encoder_k`\. Save the state dict of the one that is meant",
    ),
    "other names": (
        lambda: {"stem.kernel": torch.ones(1)},
        r"missing 0\.0\.weight, 0\.0\.bias, 0\.1\.weight and \d more; unknown stem\.kernel: no name of the network's\.",
    ),
    "nothing": (dict, r"a dict without tensors\. Save `model\.state_dict\(\)`"),
}


@pytest.mark.parametrize("kind", UNLIKE)
def test_a_checkpoint_of_another_network_says_what_differs(kind, tmp_path):
    make, reason = UNLIKE[kind]
    network = small(seed=2)
    before = Snapshot.of(network)
    with pytest.raises(ModelError, match=reason):
        load_weights(network, save(make(), tmp_path / "weights.pt"), "mine")
    assert before.differences(Snapshot.of(network)) == []


def test_a_smaller_network_does_not_take_the_first_blocks_of_a_larger_one(tmp_path):
    """All names and shapes of a ResNet-18 stand in a ResNet-34, too."""
    with torch.device("meta"):
        larger = torchvision.models.resnet34().state_dict()
    state = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in larger.items()}
    with pytest.raises(ModelError, match=r"unknown layer1\.2\.conv1\.weight.* Use the architecture"):
        load_weights(torchvision.models.resnet18(), save(state, tmp_path / "weights.pt"), "resnet18")


@pytest.mark.parametrize("way", ["torch.jit", "torch.export"])
def test_a_program_as_weights_is_refused_with_the_way_out(way, tmp_path):
    path = str(tmp_path / "weights.pt2")
    if way == "torch.jit":
        torch.jit.trace(small(), draw()).save(path)
    else:
        torch.export.save(torch.export.export(small(), (draw(),)), path)
    with pytest.raises(ModelError, match=rf"a whole network as a program.*: torch\.save\({way}\.load\(path\)\.state_d"):
        load_weights(small(), path, "mine")
    # The advice leads to the weights.
    state = torch.jit.load(path).state_dict() if way == "torch.jit" else torch.export.load(path).state_dict
    torch.save(state, tmp_path / "weights.pt")
    network = small(seed=2)
    load_weights(network, tmp_path / "weights.pt", "mine")
    assert same_answers(network)


def test_a_class_that_would_run_code_is_named(tmp_path):
    torch.save({"model": small().state_dict(), "callback": draw}, tmp_path / "weights.pt")
    with pytest.raises(ModelError, match=r"running code.*\(it needs tests\.oracles\.draw\)"):
        load_weights(small(), tmp_path / "weights.pt", "mine")
