"""Before and after in the App, without a browser: the form, the panel's events, and the figures."""

from __future__ import annotations

import json

import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.evidence import RegionShare
from panels._compare_plots import delta_figure, share_figure
from tests.faces.test_panel import Opened
from tests.planted_runs import COUNT, SIDES, tell_stories

PLUGIN = "@fiftyone-saliency/saliency"
PARAMS = {"before": "biased", "after": "enriched", "gt_field": "ground_truth", **SIDES}


@pytest.fixture(scope="module")
def stories(fo, pictures):
    dataset = tell_stories(pictures)
    yield dataset
    dataset.delete()


def resolve(dataset, params):
    import fiftyone.operators as foo
    from fiftyone.operators.executor import ExecutionContext, Executor

    operator = foo.get_operator(f"{PLUGIN}/compare_runs")
    request = {"dataset_name": dataset.name, "params": params, "view": []}
    context = ExecutionContext(request, executor=Executor(), operator_uri=operator.uri)
    return operator.resolve_input(context).to_json()["type"]["properties"]


def refused(form):
    return {name for name, entry in form.items() if entry["invalid"]}


def test_form_offers_runs_and_the_names_of_the_chosen_regions(stories):
    form = resolve(stories, {"regions": "regions"})
    assert form["before"]["type"]["values"] == ["biased", "again", "enriched", "accurate", "half", "noisy"]
    pair = (form["before"]["default"], form["after"]["default"])
    assert pair == ("biased", "again"), "the next run, not the last"
    assert resolve(stories, {"before": "accurate"})["after"]["default"] == "half"
    assert [c["value"] for c in form["should_fall"]["view"]["choices"]] == ["background", "head", "uniform"]
    assert "should_fall" not in resolve(stories, {})
    assert refused(form) == set()


def test_form_refuses_a_run_with_itself_and_a_region_on_both_sides(stories, dataset):
    assert refused(resolve(stories, {"before": "half", "after": "half"})) == {"after"}
    both = {"regions": "regions", "should_fall": ["head"], "should_rise": ["head"]}
    assert refused(resolve(stories, both)) == {"should_fall", "should_rise"}
    assert "after" in refused(resolve(dataset, {})), "a dataset without runs"


def test_operator_answers_with_the_verdict_and_stores_outcomes(stories, fo):
    import fiftyone.operators as foo

    params = PARAMS | {"outcome_field": "became"}
    result = foo.execute_operator(f"{PLUGIN}/compare_runs", ctx={"dataset": stories}, params=params).result
    assert result["verdict"]["word"] == "fixed"
    assert result["outcomes"] == {"fixed": COUNT - 4, "broken": 0, "still right": 4, "still wrong": 0}
    for line in (
        "Verdict: fixed",
        "Reason: fixed: moved by +0.55",
        f"Samples: {COUNT - 4} fixed, 0 broken, 4 still right, 0 still wrong",
        "Evidence, before → after: ",
        "head 70.0% → 15.0%",
        "not measured",
    ):
        assert line in result["text"]
    stories.reload()
    assert stories.count_values("became") == {"fixed": COUNT - 4, "still right": 4}


class Comparison(Opened):
    """The comparison panel; the view that it asks for becomes the App's."""

    uri = f"{PLUGIN}/saliency_comparison"

    def fire(self, event, **params):
        """Fire an event and return the view that the App shows afterwards."""
        import fiftyone as fo

        requests = super().fire(event, **params).executor.to_json()["requests"]
        views = [r["params"]["view"] for r in requests if r["operator_uri"].endswith("set_view")]
        if views:
            self.view = fo.DatasetView._build(self.dataset, views[-1])
        return self.view

    def choose(self, row, **values):
        for name, value in values.items():
            self.state.setdefault("header", {}).setdefault(row, {})[name] = value
            self.fire("on_choose", path=f"header.{row}.{name}", value=value)


@pytest.fixture
def opened(stories):
    opened = Comparison(stories)
    opened.choose("runs", after="enriched")
    opened.choose("reasons", should_fall=["head"], should_rise=["uniform"])
    opened.fire("on_compare")
    return opened


def test_dataset_without_two_runs_says_how_to_get_them(dataset):
    assert "needs two runs" in Comparison(dataset).text()


def test_panel_shows_the_verdict_on_both_axes(opened):
    assert opened.state["result"]["headline"] == "Fixed · reason fixed, accuracy fixed"
    assert f"Fixed ({COUNT - 4})" in opened.text()
    assert "success" in opened.text()


def test_panel_says_that_the_reason_was_not_judged_where_no_region_was_named(stories):
    opened = Comparison(stories)
    opened.fire("on_compare")
    assert opened.state["result"]["word"] == "undecided"
    assert "not judged" in opened.text()


def test_result_is_forgotten_when_the_question_changes(opened):
    opened.choose("runs", after="half")
    assert opened.state["result"] is None
    opened.fire("on_compare")
    assert opened.state["result"]["word"] == "moved, not proven"


def test_buttons_and_cells_show_their_samples_and_the_way_back(opened, stories):
    comparison = fos.compare_runs(stories, "biased", "enriched")
    assert opened.fire("on_outcome", outcome="fixed").values("id") == comparison.view("fixed").values("id")
    assert opened.state["pairs"].startswith("data:image/jpeg")
    row, column = opened.state["labels"].index("a"), opened.state["labels"].index("b")
    assert len(opened.fire("on_click", idx=[row, column])) == COUNT - 4
    assert len(opened.fire("on_all")) == COUNT


def test_second_comparison_is_on_the_samples_that_the_first_was_on(opened):
    """The grid shows the fixed ones then: they alone would be a comparison of successes."""
    opened.fire("on_outcome", outcome="fixed")
    opened.choose("runs", after="half")
    opened.fire("on_compare")
    assert sum(opened.state["result"]["outcomes"].values()) == COUNT


def test_view_of_the_user_is_compared_alone(stories):
    opened = Comparison(stories, stories.limit(6))
    opened.choose("runs", after="enriched")
    opened.fire("on_compare")
    assert opened.state["result"]["outcomes"] == {"fixed": 2, "broken": 0, "still right": 4, "still wrong": 0}


def test_switch_sets_one_scale_and_undoes_it_and_hears_each_event_once(opened, stories):
    own = stories.values("biased.range")
    opened.fire("on_scale", path="header.scale.common_scale", value=True)
    common = stories.values("biased.range")
    opened.fire("on_scale", path="header.scale.common_scale", value=True)
    assert stories.values("biased.range") == common != own
    opened.fire("on_scale", path="header.scale.common_scale", value=False)
    assert stories.values("biased.range") == [pytest.approx(one) for one in own]


def test_error_is_a_sentence_in_the_panel(opened, stories):
    opened.choose("reasons", regions="gone")
    opened.fire("on_compare")
    assert "Expected" in opened.state["problem"]
    assert "gone" in opened.text()


def test_state_stays_small(opened):
    opened.fire("on_outcome", outcome="fixed")
    pairs = len(opened.state.pop("pairs"))
    assert len(json.dumps(opened.state)) < 8_000
    assert pairs < 80_000


def share(mean, area):
    return RegionShare(mean, mean - 0.02, mean + 0.01, area, 10, 0)


def test_bars_show_both_means_their_intervals_and_chance():
    before = {"background": share(0.2, 0.5), "head": share(0.7, 0.3), "uniform": share(0.1, 0.2)}
    after = {"background": share(0.2, 0.5), "head": share(0.1, 0.3), "uniform": share(0.7, 0.2)}
    (one, two, chance), layout = share_figure(before, after, ["head"], ["uniform"])
    assert one["y"] == ["head ↓", "uniform ↑", "background"]
    assert (one["x"], two["x"], chance["x"]) == ([0.7, 0.1, 0.2], [0.1, 0.7, 0.2], [0.3, 0.2, 0.5])
    assert one["error_x"]["arrayminus"] == pytest.approx([0.02] * 3)
    assert one["error_x"]["array"] == pytest.approx([0.01] * 3)
    assert layout["height"] < 300


def test_bar_of_a_region_that_a_run_lacks_is_missing_not_zero():
    (one, two, _), _ = share_figure({"head": share(0.7, 0.3)}, {})
    assert (one["x"], two["x"], two["text"]) == ([0.7], [None], ["–"])


def test_cells_are_green_where_the_change_is_for_the_better():
    figure = delta_figure({("a", "a"): 9, ("a", "b"): -4, ("b", "a"): 1, ("b", "b"): -1, ("b", None): 0})
    (trace,) = figure.data
    assert figure.labels == ["a", "b", None]
    assert trace["z"][0][:2] == [3.0, 2.0], "more right answers, fewer mistakes"
    assert trace["z"][1][:2] == [-1.0, -1.0], "one more mistake, one right answer less"
    assert trace["text"][0][:2] == ["+9", "−4"]
    assert trace["z"][1][2] is None, "unchanged cells are blank"
    assert (trace["zmin"], trace["zmax"]) == (-3.0, 3.0)


def test_two_matrices_that_are_alike_can_be_drawn():
    assert delta_figure({("a", "a"): 0}).data[0]["z"] == [[None]]
    assert delta_figure({}).labels == []
