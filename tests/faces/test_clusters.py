"""The cluster panel and operator without a browser: what they say, what they do, how little they send."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from panels._pictures import shrink
from tests.faces.test_operators import execute, refused, resolve
from tests.faces.test_panel import Opened

URI = "@fiftyone-saliency/saliency/saliency_clusters"
SIDES = ((slice(0, 12), slice(0, 8)), (slice(36, 48), slice(56, 64)))


@pytest.fixture
def mapped(fo, dataset, pictures):
    """Twenty samples: the maps of the first twelve lie at the top left, all mistakes; of eight at the bottom right."""
    rng = np.random.default_rng(51)
    for i in range(20):
        values = rng.random((48, 64)).astype(np.float32) / 50
        values[SIDES[i >= 12]] = 1
        labels = {"ground_truth": fo.Classification(label="a"), "predictions": fo.Classification(label="ba"[i >= 12])}
        dataset.add_sample(fo.Sample(filepath=pictures[i % 12], saliency=fo.Heatmap(map=values), **labels))
    return dataset


class Panel(Opened):
    """The cluster panel, with the operations that an event asked the App for."""

    uri = URI

    def press(self, event, **params):
        context = self.fire(event, **params)
        return {r["operator_uri"].split("/")[-1]: r["params"] for r in context.executor.to_json()["requests"]}


@pytest.fixture
def panel(mapped):
    panel = Panel(mapped)
    panel.press("on_find")
    return panel


def test_without_maps_it_says_how_to_get_them(dataset):
    assert "There are no maps yet" in Panel(dataset).text()


def test_before_it_is_asked_it_computes_nothing(mapped):
    text = Panel(mapped).text()
    assert "Find the kinds of maps in view" in text
    assert "data:image" not in text


def test_found_clusters_are_shown_with_pictures_counts_and_mistakes(panel):
    text = panel.text()
    assert "All 20 maps in view" in text
    assert "**Cluster 1** · 12 samples · **100%** mistakes" in text
    assert "**Cluster 2** · 8 samples · **0%** mistakes" in text
    assert "100% are *a → b*" in text
    assert text.count("data:image/jpeg;base64,") == 3


def test_one_kind_is_shown_once(mapped):
    panel = Panel(mapped, mapped.limit(12))
    panel.press("on_find")
    assert "The 12 maps fall into no kinds" in panel.text()
    assert panel.text().count("data:image/jpeg;base64,") == 1


def test_the_state_stays_small(panel):
    """Every event posts it back: pictures and ids stay on the server."""
    assert len(json.dumps(panel.state)) < 500


def test_show_opens_exactly_the_cluster_and_all_goes_back(panel, mapped, fo):
    def shown(requests):
        return fo.DatasetView._build(mapped, requests["set_view"]["view"]).values("id")

    ids = mapped.values("id")
    assert shown(panel.press("on_show", number=2)) == ids[12:]
    assert "All samples" in panel.text()
    assert shown(panel.press("on_all")) == ids


def test_tags_go_on_and_off(panel, mapped):
    panel.press("on_tag", number=1)
    panel.press("on_choose", path="header.controls.tag", value=" enrich ")
    panel.press("on_tag", number=2)
    assert mapped.count_sample_tags() == {"cluster 1": 12, "enrich": 8}
    said = panel.press("on_untag", number=2)
    assert said["notify"]["message"] == "Took “enrich” from 8 samples"
    assert mapped.count_sample_tags() == {"cluster 1": 12}


def test_a_cluster_becomes_a_saved_view(panel, mapped):
    panel.press("on_save", number=1)
    mapped.reload()
    (name,) = mapped.list_saved_views()
    assert mapped.load_saved_view(name).values("id") == mapped.limit(12).values("id")


def test_a_view_of_the_user_is_not_overwritten_and_that_is_said(panel, mapped):
    mapped.save_view("cluster 1 of 2: a → b (saliency)", mapped.limit(1))
    assert panel.press("on_save", number=1)["notify"]["variant"] == "error"


def test_an_empty_view_is_a_sentence_not_a_traceback(mapped):
    panel = Panel(mapped, mapped.match_tags("nothing"))
    panel.press("on_find")
    assert "Expected `samples` to hold at least one sample" in panel.text()


def test_clusters_that_the_server_forgot_are_asked_for_again(panel):
    panel.state["key"] = "of another process"
    assert "find them again" in panel.press("on_show", number=1)["notify"]["message"]
    assert "Find the kinds of maps in view" in panel.text()


def test_pictures_keep_their_shape_and_are_small():
    wide = shrink(np.zeros((168, 224, 3), np.uint8))
    kind, _, data = wide.url.partition(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (wide.width, wide.height) == (160, 120)


def test_the_operator_numbers_the_clusters_and_saves_views(mapped):
    form = resolve("cluster_maps", mapped)
    assert form["field"]["default"] == "saliency"
    assert refused(form) == set()
    execute("cluster_maps", mapped, {"field": "saliency", "max_clusters": 8, "save": True})
    assert mapped.values("saliency.cluster") == ["1"] * 12 + ["2"] * 8
    assert len(mapped.list_saved_views()) == 2


def test_the_operator_refuses_a_dataset_without_maps(colours):
    assert refused(resolve("cluster_maps", colours)) == {"field"}
