"""Weights from elsewhere: what is on this machine is used without the network, and what is not fails at once."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from fiftyone_saliency.core.errors import ModelError, SaliencyError

_PATIENCE = 3.0
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


@contextmanager
def downloading(source: str, way_out: str) -> Iterator[None]:
    """Load something that may be fetched from Hugging Face's hub or another server.

    Where the hub cannot be reached, its client asks its cache alone: by itself it would try again for half a minute.

    Args:
        source: what a person calls the model.
        way_out: what else to do, a sentence.

    Raises:
        ModelError: if it cannot be loaded.
    """
    try:
        with hub():
            yield
    except (SaliencyError, ImportError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ModelError(
            f"Expected {source} to be on this machine or to be fetched, but got: {reason} Check the name and the "
            f"connection. {way_out}"
        ) from error


@contextmanager
def hub() -> Iterator[None]:
    """Let Hugging Face's clients ask their cache alone where the hub does not answer, instead of trying again."""
    try:
        from huggingface_hub import constants
    except ImportError:
        yield
        return
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _answers(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _answers(address: str) -> bool:
    """Return whether a server takes a connection; behind a proxy that shows only when something is fetched."""
    if any(os.environ.get(name) for name in _PROXIES):
        return True
    parts = urlsplit(address)
    try:
        with socket.create_connection((parts.hostname, parts.port or 443), timeout=_PATIENCE):
            return True
    except OSError:
        return False
