"""Weights of a local file: whatever saved them, and never code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
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
