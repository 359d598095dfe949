"""Names that need a download: without a connection one error of ours, at once."""

from __future__ import annotations

import socket
import time

import pytest

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.models.load import load

NAMES = {
    "timm:hf-hub:nobody/nothing": "timm",
    "timm:resnet18": "timm",
    "hf:nobody/nothing": "transformers",
    "open_clip:ViT-B-32/openai": "open_clip",
    "open_clip:hf-hub:nobody/nothing": "open_clip",
    "resnet18": "torchvision",
}


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No server takes a connection, and nothing is in a cache."""

    def refuse(*_: object, **__: object) -> socket.socket:
        raise OSError("Network is unreachable")

    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_cannot_be_fetched_is_our_error_at_once(offline, name):
    constants = pytest.importorskip("huggingface_hub").constants
    pytest.importorskip(NAMES[name])
    before = constants.HF_HUB_OFFLINE
    start = time.monotonic()
    with pytest.raises(ModelError, match=r"Expected .* but got: "):
        load(name, ["a", "b"])
    # By itself the hub's client tries again for 23 seconds.
    assert time.monotonic() - start < 15
    assert before == constants.HF_HUB_OFFLINE
