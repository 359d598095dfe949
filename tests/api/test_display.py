"""What the App is told about drawing heatmaps."""

from __future__ import annotations

import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import FieldError, UnknownNameError


@pytest.fixture
def drawn(colours, fo):
    for name in ("saliency", "other"):
        colours.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=fo.Heatmap)
    return colours


def test_heatmaps_and_labels_are_switched_on_and_coloured(drawn):
    fos.show_heatmaps(drawn.limit(1), labels=["ground_truth"])
    drawn.reload()
    assert drawn.app_config.active_fields.paths == ["ground_truth", "saliency", "other"]
    scheme = drawn.app_config.color_scheme
    assert (scheme.color_by, [f["path"] for f in scheme.fields]) == ("field", ["saliency", "other"])
    assert 0 < scheme.opacity < 1


def test_only_the_heatmaps_asked_for_are_switched_on(drawn):
    fos.show_heatmaps(drawn, fields=["other"])
    assert drawn.app_config.active_fields.paths == ["other"]


@pytest.mark.parametrize(
    ("field", "error", "message"),
    [
        ("salience", UnknownNameError, "`fields`, but got 'salience'. Did you mean `saliency`"),
        ("ground_truth", FieldError, "`fields` to name a Heatmap field, but 'ground_truth' is a Classification"),
    ],
)
def test_other_fields_are_refused(drawn, field, error, message):
    with pytest.raises(error, match=message):
        fos.show_heatmaps(drawn, fields=["other", field])
    assert drawn.app_config.active_fields is None
