"""Numbers beyond all sense are refused at once, by every verb, before anything is read or made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError
from tests.models_for_tests import state_of

HUGE = 10**9
WORK: dict[str, Callable[..., Any]] = {
    "predict": lambda samples, model, **n: fos.predict(samples, model, "new", **n),
    "embed": lambda samples, model, **n: fos.embed(samples, model, **n),
    "check_trust": lambda samples, model, **n: fos.check_trust(samples, model, "saliency", **n),
    "faithfulness": lambda samples, model, **n: fos.faithfulness(samples, model, "saliency", **n),
    "hide_region": lambda samples, model, **n: fos.hide_region(samples, model, regions="boxes", region="square", **n),
    "second_pass": lambda samples, model, **n: fos.second_pass(samples, model, "saliency", regions="boxes", **n),
    "cluster_maps": lambda samples, model, **n: fos.cluster_maps(samples, "saliency", **n),
    "report": lambda samples, model, **n: fos.report(samples, "saliency", regions="boxes", right=["square"], **n),
    "pairs_picture": lambda samples, model, **n: fos.pairs_picture(samples.first(), "saliency", "other", **n),
}
NUMBERS = [
    *((verb, name) for verb in ("predict", "embed", "check_trust", "faithfulness", "hide_region")
      for name in ("batch_size", "num_workers")),
    ("check_trust", "stages"),
    ("check_trust", "draws"),
    ("faithfulness", "steps"),
    ("hide_region", "controls"),
    ("second_pass", "quality"),
    ("second_pass", "batch_size"),
    ("cluster_maps", "max_clusters"),
    ("report", "cells"),
    ("report", "pictures"),
    ("pairs_picture", "size"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "name"), NUMBERS)
def test_numbers_beyond_all_sense_are_refused(steady, model, verb, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = state_of(steady)
    for value in (HUGE, float("inf"), float("nan"), 2.5, True, "7"):
        with pytest.raises(ArgumentError, match=f"Expected `{name}` to be"):
            WORK[verb](steady, model, **{name: value})
    assert state_of(steady) == before
    assert list(tmp_path.iterdir()) == []
