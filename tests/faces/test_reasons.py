"""The second face of the matrix: its figures, and the panel on a real run without a browser."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fiftyone_saliency.core.colours import UNDECIDED
from fiftyone_saliency.core.confusion import ConfusionCounts
from fiftyone_saliency.core.evidence import Evidence
from fiftyone_saliency.core.reasons import find_reasons
from panels._reason_plots import class_figure, class_title, describe, region_figure, rightness_figure
from tests.faces.test_panel import Opened

ROWS = [("cook", "cook", 0.8), ("cook", "judge", 0.25), ("judge", "judge", 0.1)]
PAIRS = ConfusionCounts({(truth, prediction): 1 for truth, prediction, _ in ROWS})


@pytest.fixture
def reasons():
    heads = [head for *_, head in ROWS]
    shares = {"head": heads, "uniform": [1 - head for head in heads]}
    areas = {"head": [0.4] * 3, "uniform": [0.6] * 3}
    table = Evidence("saliency", "r", ["a", "b", "c"], [r[0] for r in ROWS], [r[1] for r in ROWS], shares, areas)
    return find_reasons(table, ["uniform"])


def test_a_cell_has_the_colour_of_its_dominant_region_and_says_its_share(reasons):
    trace = region_figure(reasons, PAIRS).data[0]

    # Rows are truths, columns predictions; head is the first region, uniform the second.
    assert trace["text"] == [["head<br>80%", "uniform<br>75%"], ["", "uniform<br>90%"]]
    assert trace["z"] == [[pytest.approx(0.8), pytest.approx(1.75)], [None, pytest.approx(1.9)]]
    assert trace["zmax"] == 3, "one stretch of colours per region, and one for no preference"


def test_a_cell_without_preference_has_a_grey_of_its_own_and_says_so(reasons):
    areas = {"head": [0.79] * 3, "uniform": [0.21] * 3}
    leaning = find_reasons(replace(reasons.evidence, areas=areas), ["uniform"])
    trace = region_figure(leaning, PAIRS).data[0]
    assert (trace["text"][0][0], trace["z"][0][0]) == ("no preference", 3)
    assert trace["colorscale"][-1] == [1, UNDECIDED]
    assert "right reason 0%, wrong 0%, no preference 100%" in trace["customdata"][0][0].replace(" (too few)", "")
    assert rightness_figure(leaning, PAIRS).data[0]["text"][0][0].endswith("<br>no preference 100%")
    assert "right reason **0%**, wrong 0%, no preference 100%" in describe(next(iter(leaning.cells.values())))


def test_the_hover_says_n_interval_area_and_every_region(reasons):
    text = region_figure(reasons, PAIRS).data[0]["customdata"][0][0]

    assert text.startswith("<b>1 samples</b>")
    assert "head 80%" in text
    assert "area 40%" in text
    assert "n 1" in text


def test_rightness_shows_the_share_of_samples_with_a_right_reason(reasons):
    assert rightness_figure(reasons, PAIRS).data[0]["z"] == [[0.0, 1.0], [None, 1.0]]


def test_mistakes_only_leaves_the_diagonal_blank(reasons):
    assert region_figure(reasons, PAIRS, errors_only=True).data[0]["z"][0][0] is None


def test_as_many_traces_as_the_other_faces(reasons):
    from panels._plots import confusion_figure

    assert len(region_figure(reasons, PAIRS).data) == len(confusion_figure(PAIRS).data)


def test_bars_stack_to_one_and_marks_stand_where_chance_would_put_the_borders(reasons):
    traces, layout = class_figure(reasons)
    bars = [trace for trace in traces if trace["type"] == "bar"]

    # The class with least evidence on the right region stands on top, which Plotly draws last.
    assert bars[0]["y"] == ["judge", "cook"]
    assert [sum(values) for values in zip(*(bar["x"] for bar in bars), strict=True)] == pytest.approx([1, 1])
    assert traces[-1]["x"] == pytest.approx([0.4, 0.4])
    assert layout["barmode"] == "stack"


def test_title_of_the_bars_says_when_classes_are_left_out(reasons):
    assert class_title(reasons) == "**Evidence by class** · marks: the borders by chance"
    assert "1 of 2 classes, the worst first" in class_title(reasons, limit=1)
    assert len(class_figure(reasons, limit=1)[0][0]["y"]) == 1


def test_the_line_of_a_cell_leaves_out_what_is_undefined():
    empty = find_reasons(Evidence("f", "r", ["a"], ["x"], ["x"], {"head": [None]}, {"head": [None]}))

    assert describe(empty.cells["x", "x"]) == "no evidence in any region"


@pytest.fixture
def explained(fo, colours, model):
    """The pictures with maps, and a box over each picture's left half."""
    import fiftyone_saliency as fos

    fos.compute_saliency(colours, model, progress=False)
    box = fo.Detection(label="left", bounding_box=[0, 0, 0.5, 1])
    colours.set_values("boxes", [fo.Detections(detections=[box.copy()]) for _ in range(12)])
    return colours


def test_the_panel_shows_where_the_evidence_lies(explained):
    import fiftyone_saliency as fos

    opened = Opened(explained)
    opened.fire("on_choose", path="header.show.face", value="region")
    text = opened.text()

    assert "Right regions" in text
    assert "Evidence by class" in text
    assert opened.state["region_names"] == ["background", "left"]
    opened.fire("on_choose", path="header.reasons.right", value=["left"])
    expected = fos.reasons(explained, regions="boxes", right=["left"])
    assert opened.state["wrong_reason"] == len(expected.right_for_wrong_reason) > 0
    assert "Right for the wrong reason" in opened.text()


def test_a_click_opens_the_cell_and_its_card_says_the_shares(explained):
    opened = Opened(explained)
    opened.fire("on_choose", path="header.show.face", value="region")
    context = opened.fire("on_click", idx=[0, 0])

    assert "left" in opened.state["card"]
    assert "n = " in opened.state["card"]
    assert any("set_view" in r["operator_uri"] for r in context.executor.to_json()["requests"])


def test_what_is_right_for_the_wrong_reason_becomes_the_view(explained):
    import fiftyone_saliency as fos

    opened = Opened(explained)
    opened.fire("on_choose", path="header.show.face", value="right")
    opened.fire("on_choose", path="header.reasons.right", value=["left"])
    context = opened.fire("on_wrong_reason")

    ids = set(fos.reasons(explained, regions="boxes", right=["left"]).right_for_wrong_reason)
    (request,) = (r for r in context.executor.to_json()["requests"] if r["operator_uri"].endswith("set_view"))
    assert all(sample_id in json.dumps(request) for sample_id in ids)


def test_relabelled_samples_move_without_measuring_again(explained, fo):
    opened = Opened(explained)
    opened.fire("on_choose", path="header.show.face", value="region")
    sample = explained.first()
    sample["predictions"] = fo.Classification(label="violet")
    sample.save()
    opened.fire("on_choose", path="header.show.face", value="region")

    assert "violet" in opened.state["labels"]


def test_without_regions_the_panel_says_what_is_needed(colours):
    opened = Opened(colours)
    opened.fire("on_choose", path="header.show.face", value="region")

    assert "Reasons need regions" in opened.text()


def test_without_maps_the_panel_says_what_is_needed(explained):
    opened = Opened(explained)
    opened.fire("on_choose", path="header.controls.saliency", value="(no maps)")
    opened.fire("on_choose", path="header.show.face", value="region")

    assert "Reasons need maps" in opened.text()
