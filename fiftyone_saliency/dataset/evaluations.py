"""A repair of FiftyOne: the custom metrics that it stores with an evaluation are read back."""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

from typing import Any

from fiftyone.utils.eval.base import BaseClassificationResults

_MARK = "_keeps_custom_metrics"


def keep_custom_metrics() -> None:
    """Let loaded results of classifications carry the custom metrics that were stored with them.

    FiftyOne 1.22 writes them, but leaves them out when it reads results that are not binary: its panel, which runs in
    another process than the evaluation, would never show one. Where FiftyOne reads them itself, nothing changes.
    """
    read = BaseClassificationResults._from_dict.__func__
    if hasattr(read, _MARK):
        return

    def read_all(cls: type, d: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        results = read(cls, d, *args, **kwargs)
        if results.custom_metrics is None:
            results.custom_metrics = d.get("custom_metrics")
        return results

    setattr(read_all, _MARK, True)
    BaseClassificationResults._from_dict = classmethod(read_all)
