"""Each operator headless, on a real dataset: a form that offers what is there, refuses what is wrong, and acts."""

from __future__ import annotations

from pathlib import Path

import pytest

import fiftyone_saliency as fos
from operators.compute import arguments
from tests.e2e import colour_model

PLUGIN = "@fiftyone-saliency/saliency"


@pytest.fixture(autouse=True)
def own_models(tmp_path, monkeypatch):
    """Models that other tests registered must not be offered here."""
    monkeypatch.setenv("FIFTYONE_SALIENCY_MODELS", str(tmp_path / "models.toml"))


@pytest.fixture
def samples(fo, dataset, pictures):
    names = colour_model.CLASSES
    for i in range(12):
        predicted = names[(i + (i % 4 == 0)) % 3]
        dataset.add_sample(
            fo.Sample(
                filepath=pictures[i],
                ground_truth=fo.Classification(label=names[i % 3]),
                predictions=fo.Classification(label=predicted, confidence=0.7),
            )
        )
    return dataset


@pytest.fixture
def model():
    fos.register_model("colours", f"{colour_model.__file__}:load")
    yield "colours"
    fos.unregister_model("colours")


def resolve(name, dataset, params=None, view=None):
    """The form as the App gets it, by name of the entry."""
    import fiftyone.operators as foo
    from fiftyone.operators.executor import ExecutionContext, Executor

    request = {"dataset_name": dataset.name, "params": params or {}, "view": [] if view is None else view._serialize()}
    operator = foo.get_operator(f"{PLUGIN}/{name}")
    context = ExecutionContext(request, executor=Executor(), operator_uri=operator.uri)
    return operator.resolve_input(context).to_json()["type"]["properties"]


def execute(name, dataset, params, view=None):
    import fiftyone.operators as foo

    target = {"view": view} if view is not None else {"dataset": dataset}
    result = foo.execute_operator(f"{PLUGIN}/{name}", ctx=target, params=params)
    dataset.reload()
    return result


def refused(form):
    return {name for name, entry in form.items() if entry["invalid"]}


def test_evaluate(samples):
    form = resolve("evaluate_predictions", samples)
    assert form["gt_field"]["default"] == "ground_truth"
    assert form["pred_field"]["default"] == "predictions"
    params = {"gt_field": "ground_truth", "pred_field": "predictions", "eval_key": "mine"}

    result = execute("evaluate_predictions", samples, params).result

    assert samples.list_evaluations() == ["mine"]
    assert result["accuracy"] == pytest.approx(9 / 12)
    assert refused(resolve("evaluate_predictions", samples, params)) == {"eval_key"}
    assert refused(resolve("evaluate_predictions", samples, params | {"overwrite": True})) == set()


def test_compute_form_offers_registered_models_methods_and_their_parameters(samples, model):
    form = resolve("compute_saliency", samples, {"method": "integrated_gradients"})

    assert form["model"]["type"]["values"] == fos.list_models()
    shown = [name for name, info in fos.list_methods().items() if not info.hidden]
    assert form["method"]["type"]["values"] == shown
    assert set(fos.list_methods()) - set(shown) == {"edge_detector", "random_map"}, "controls are no explanations"
    described = {choice["value"]: choice["description"] for choice in form["method"]["view"]["choices"]}
    assert "To look at only" in described["guided_backprop"]
    assert "To look at only" not in described["grad_cam"]
    assert form["integrated_gradients__steps"]["default"] == 24
    assert refused(form) == set()


def test_compute_form_shows_the_bounds_of_each_number(samples, model):
    rise = resolve("compute_saliency", samples, {"method": "rise"})
    numbers = {name: (p["type"]["min"], p["type"]["max"]) for name, p in rise.items() if name.startswith("rise__")}
    assert numbers == {"rise__masks": (2, 100_000), "rise__grid": (1, 100), "rise__keep": (0, 1), "rise__stop": (0, 1)}
    assert [rise["batch_size"]["type"][end] for end in ("min", "max")] == [1, 1024]


def test_compute_form_says_how_to_register_a_model(samples):
    form = resolve("compute_saliency", samples)

    assert refused(form) == {"model"}
    assert "register_model" in form["how"]["view"]["label"]


@pytest.mark.parametrize(
    ("field", "wrong"), [("ground_truth", {"field"}), ("not a field", {"field"}), ("_private", {"field"})]
)
def test_compute_form_refuses_a_field_that_cannot_take_maps(samples, model, field, wrong):
    assert refused(resolve("compute_saliency", samples, {"field": field})) == wrong


def test_compute_form_refuses_a_field_that_one_of_several_targets_cannot_take(fo, samples, model):
    samples.add_sample_field("why_truth", fo.StringField)
    form = resolve("compute_saliency", samples, {"field": "why", "target": "all"})
    assert refused(form) == {"field"}
    assert "why_truth already" in form["field"]["error_message"]
    assert refused(resolve("compute_saliency", samples, {"field": "why", "target": "predicted"})) == set()


def test_compute_explains_three_targets_in_one_pass(samples, model):
    params = {
        "model": model,
        "method": "grad_cam",
        "target": "all",
        "gt_field": "ground_truth",
        "pred_field": "predictions",
        "field": "why",
        "batch_size": 4,
    }

    execute("compute_saliency", samples, params)

    runs = {run.field: run.request.target for run in fos.list_runs(samples)}
    assert runs == {"why": "predicted", "why_truth": "ground_truth", "why_contrast": "contrast"}
    assert set(samples.app_config.active_fields.paths) >= set(runs)


def test_compute_on_a_view_with_parameters_and_a_class(samples, model):
    view = samples.limit(5)
    params = {
        "model": model,
        "method": "occlusion",
        "occlusion__window": 0.5,
        "occlusion__stride": 0.25,
        "target": "class",
        "target_class": "blue",
        "gt_field": "ground_truth",
        "pred_field": "predictions",
        "field": "why_blue",
        "batch_size": 4,
    }

    execute("compute_saliency", samples, params, view=view)

    run = fos.load_run(samples, "why_blue")
    assert run.request.params == {"window": 0.5, "stride": 0.25}
    assert run.request.target == "blue"
    assert samples.exists("why_blue").values("id") == view.values("id")


def test_a_browser_cannot_name_anything_but_a_registered_model(samples, tmp_path):
    """An import path or a pickle in the form's place must not be loaded."""
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\ndef load(): ...\n")
    params = {
        "model": f"{trap}:load",
        "method": "grad_cam",
        "target": "predicted",
        "gt_field": "ground_truth",
        "pred_field": "predictions",
        "field": "saliency",
    }

    for wish in (params["model"], "resnet18", "timm:resnet18", "hf:someone/something", str(tmp_path / "model.onnx")):
        with pytest.raises(Exception, match="Path: model"):
            execute("compute_saliency", samples, params | {"model": wish})
        with pytest.raises(fos.SaliencyError, match="known registered model"):
            arguments(params | {"model": wish})

    assert not (tmp_path / "sprung").exists()
    assert "saliency" not in samples.get_field_schema()


def test_save_cell_views(samples):
    params = {"gt_field": "ground_truth", "pred_field": "predictions", "only": "errors", "min_count": 1}
    summary = resolve("save_cell_views", samples, params)["summary"]["view"]["label"]
    assert [line[4:] for line in summary.splitlines()] == str(fos.confusion(samples)).splitlines()

    result = execute("save_cell_views", samples, params).result

    assert sorted(result["names"]) == sorted(samples.list_saved_views())
    assert result["count"] == sum(cell.is_error for cell in fos.confusion(samples).cells.values())


def test_tag_and_untag(samples):
    cell = fos.confusion(samples).cells["red", "green"]
    params = {
        "gt_field": "ground_truth",
        "pred_field": "predictions",
        "truth": "red",
        "prediction": "green",
        "tag": "look",
    }

    execute("tag_cell", samples, params)
    tagged = samples.match_tags("look").values("id")
    execute("tag_cell", samples, params | {"remove": True})

    assert tagged == cell.view().values("id") != []
    assert samples.match_tags("look").values("id") == []


def test_tag_form_refuses_an_empty_cell_and_an_empty_tag(samples):
    params = {"truth": "red", "prediction": "blue", "tag": "  "}

    assert refused(resolve("tag_cell", samples, params)) == {"prediction", "tag"}


def test_export(samples, tmp_path):
    samples.limit(3).tag_samples("enrich")
    folder = tmp_path / "out"
    params = {
        "tag": "enrich",
        "gt_field": "ground_truth",
        "dataset_type": "ImageClassificationDirectoryTree",
        "heatmaps": True,
        "out_dir": str(folder),
    }
    form = resolve("export_for_retraining", samples, params)
    assert form["count"]["view"]["label"] == "3 samples"

    execute("export_for_retraining", samples, params)

    exported = fos.load_export(folder)
    assert exported.values("ground_truth.label") == samples.limit(3).values("ground_truth.label")
    exported.delete()
    assert refused(resolve("export_for_retraining", samples, params)) == {"out_dir"}
    assert refused(resolve("export_for_retraining", samples, params | {"out_dir": "relative"})) == {"out_dir"}


def test_manage_runs_deletes_only_what_was_confirmed(samples, model):
    run = fos.compute_saliency(samples, model, progress=False)
    folder = Path(run.folder)
    form = resolve("manage_runs", samples, {"key": run.key})
    assert "12 maps" in form["record"]["default"]
    params = {"key": run.key, "delete": True}
    assert refused(resolve("manage_runs", samples, params)) == {"confirm"}

    with pytest.raises(Exception, match="Type saliency to delete it"):
        execute("manage_runs", samples, params | {"confirm": "wrong"})
    assert [r.key for r in fos.list_runs(samples)] == [run.key]
    execute("manage_runs", samples, params | {"confirm": "saliency"})

    assert fos.list_runs(samples) == []
    assert "saliency" not in samples.get_field_schema()
    assert not folder.exists()


def test_manage_runs_without_runs(samples):
    form = resolve("manage_runs", samples)

    assert refused(form) == {"key"}
    assert "No saliency run yet" in form["none"]["view"]["label"]
