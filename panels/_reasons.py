"""Reasons for the confusion panel: maps are measured once and remembered by the server, labels are always read anew."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import Any

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import UnknownNameError
from fiftyone_saliency.core.evidence import Evidence
from fiftyone_saliency.core.reasons import Reasons, find_reasons
from fiftyone_saliency.dataset.confusion import ConfusionMatrix

_MOST = 4
_KNOWN: OrderedDict[tuple[str, ...], Evidence] = OrderedDict()
_LOCK = threading.Lock()


def measure(matrix: ConfusionMatrix, dataset: Any, field: str, regions: str, right: list[str]) -> Reasons:
    """Return the reasons of a matrix's samples.

    Raises:
        SaliencyError: if a field or region is not what it was.
    """
    key = _key(dataset, field, regions)
    # Several events may ask at once: the first one measures, the others find it done.
    with _LOCK:
        known = _KNOWN.get(key)
        reasons = fos.reasons(
            matrix.samples,
            field,
            regions=regions,
            gt_field=matrix.gt_field,
            pred_field=matrix.pred_field,
            known=known,
        )
        if known is None:
            _KNOWN[key] = reasons.evidence
        elif missing := set(reasons.evidence.ids) - set(known.ids):
            rows = [i for i, sample_id in enumerate(reasons.evidence.ids) if sample_id in missing]
            _KNOWN[key] = known.join(reasons.evidence.select(rows))
        _KNOWN.move_to_end(key)
        while len(_KNOWN) > _MOST:
            _KNOWN.popitem(last=False)
    return find_reasons(reasons.evidence, [name for name in right if name in reasons.regions])


def forget() -> None:
    """Forget what was measured, so that it is measured again."""
    with _LOCK:
        _KNOWN.clear()


def _key(dataset: Any, field: str, regions: str) -> tuple[str, ...]:
    try:
        run = fos.load_run(dataset, field)
        state = f"{run.key} {run.finished}"
    except UnknownNameError:
        state = ""
    return str(dataset._doc.id), field, state, regions, json.dumps(fos.list_regions(dataset).get(regions))
