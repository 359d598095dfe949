"""The panel without a browser: what it says where there is nothing to show."""

from __future__ import annotations

import json

import pytest

URI = "@fiftyone-saliency/saliency/saliency_confusion"


class Opened:
    """The panel on a dataset, with its state kept from event to event as the App keeps it."""

    uri = URI

    def __init__(self, dataset, view=None):
        import fiftyone.operators as foo

        self.panel, self.dataset, self.view, self.state = foo.get_operator(self.uri), dataset, view, {}
        self.fire("on_load")

    def context(self, **params):
        from fiftyone.operators.executor import ExecutionContext, Executor

        request = {
            "dataset_name": self.dataset.name,
            "view": [] if self.view is None else self.view._serialize(),
            "params": {"panel_id": "panel", "panel_state": self.state, **params},
        }
        return ExecutionContext(request, executor=Executor(), operator_uri=self.panel.uri)

    def fire(self, event, **params):
        context = self.context(**params)
        getattr(self.panel, event)(context)
        self.state = context.panel.state._data
        return context

    def text(self):
        """What is drawn, as JSON; Markdown's escapes are left out, as in the App."""
        drawn = self.panel.render(self.context()).to_json()
        return json.dumps(drawn, ensure_ascii=False).replace("\\\\", "")


@pytest.fixture
def labelled(fo, dataset, pictures):
    for i, (truth, predicted) in enumerate([("a", "a"), ("a", "b"), ("b", "b")]):
        labels = {"ground_truth": fo.Classification(label=truth), "predictions": fo.Classification(label=predicted)}
        dataset.add_sample(fo.Sample(filepath=pictures[i], **labels))
    return dataset


def test_dataset_without_labels_says_how_to_get_them(dataset):
    assert "needs two Classification fields" in Opened(dataset).text()


def test_empty_view_says_so(labelled):
    assert "no sample in view" in Opened(labelled, labelled.match_tags("nothing")).text()


def test_field_that_was_deleted_meanwhile_gives_a_sentence_not_a_traceback(labelled):
    opened = Opened(labelled)
    labelled.rename_sample_field("predictions", "answers")

    opened.fire("on_choose", path="header.controls.saliency", value="(no maps)")

    assert "Expected a known Classification field" in opened.text()


def test_all_right_predictions_say_there_is_no_mistake(labelled, fo):
    opened = Opened(labelled, labelled.match(fo.ViewField("ground_truth.label") == "b"))

    assert "No mistakes" in opened.text()


def test_cell_is_read_back_from_the_view_it_opened(labelled):
    """A saved cell that is chosen in the App's selector must be framed in the matrix, not counted as all there is."""
    import fiftyone_saliency as fos

    opened = Opened(labelled, fos.confusion(labelled).cells["a", "b"].view())

    assert opened.state["cell"] == ["a", "b"]
    assert "3 samples" in opened.state["summary"]


def test_event_that_comes_twice_changes_nothing(labelled):
    opened = Opened(labelled)

    context = opened.fire("on_change_view")

    changes = [r["operator_uri"] for r in context.executor.to_json()["requests"]]
    assert [change for change in changes if "panel_data" in change or "panel_state" in change] == []


def test_state_stays_small_with_many_samples_and_classes(fo, dataset, pictures):
    """Every event posts the whole state back: numbers belong into the data, which is only sent once."""
    for i in range(60):
        label = fo.Classification(label=f"class {i}")
        dataset.add_sample(fo.Sample(filepath=pictures[0], ground_truth=label, predictions=label))

    assert len(json.dumps(Opened(dataset).state)) < 15_000


@pytest.fixture
def several(fo, dataset, pictures):
    """Samples with several labels: (true, predicted)."""
    for i, sides in enumerate([("a", "ab"), ("ab", "a"), ("c", "b"), ("", ""), ("a", "a")]):
        truth, predicted = (
            fo.Classifications(classifications=[fo.Classification(label=name) for name in side]) for side in sides
        )
        dataset.add_sample(fo.Sample(filepath=pictures[i], ground_truth=truth, predictions=predicted))
    return dataset


def chosen(panel, name, value):
    return panel.fire("on_choose", path=f"header.several.{name}", value=value)


def test_several_labels_are_shown_by_pairs_and_by_label(several):
    opened = Opened(several)
    assert opened.state["several"] == ["(pairs of labels)", "a", "b", "c"]
    assert "(pairs of labels)" in opened.text()
    assert opened.state["labels"] == ["a", "b", "c", None]
    assert "5 samples** · accuracy **40.0%** · 3 mistakes" in opened.text()
    chosen(opened, "label", "b")
    assert opened.state["labels"] == ["b", "not b"]
    assert "accuracy **40.0%** · 3 mistakes" in opened.text()
    context = opened.fire("on_click", idx=[1, 0])
    assert opened.state["cell"] == ["not b", "b"]
    assert "**2** samples" in opened.text()
    assert context is not None


def test_a_cell_of_a_label_that_is_in_view_is_known_again(several):
    import fiftyone_saliency as fos

    cell = fos.confusion(several, label="b").cells["not b", "b"]
    opened = Opened(several, cell.view())
    assert opened.state["cell"] is None, "pairs are shown first"
    chosen(opened, "label", "b")
    assert opened.state["cell"] == ["not b", "b"]
    assert "**5 samples**" in opened.text(), "the matrix is that of the samples that the cell belongs to"


def test_reasons_of_several_labels_are_explained_not_a_traceback(several, fo):
    several.set_values(
        "regions",
        [fo.Detections(detections=[fo.Detection(label="x", bounding_box=[0, 0, 1, 1])]) for _ in range(5)],
    )
    opened = Opened(several)
    opened.fire("on_choose", path="header.show.face", value="region")
    text = opened.text()
    assert "Reasons" in text
    assert "one label" in text
    opened.fire("on_choose", path="header.show.face", value="row")
    assert "5 samples" in opened.text()
