"""Every operator without its form, from Python as agents call it: the form's defaults hold, and numbers come back."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import SaliencyError, StoppedError
from fiftyone_saliency.dataset import jobs
from operators import METRICS, OPERATORS, _progress
from tests.e2e import colour_model
from tests.faces.test_operators import PLUGIN, execute, refused, resolve

NAMES = sorted({cls().config.name for cls in OPERATORS if cls not in METRICS})
FEWEST = {
    "check_gate": {"min_accuracy": 0},
    "check_trust": {"count": 3},
    "measure_faithfulness": {"count": 2},
    "plan_enrichment": {"right": ["background"]},
}
GARBAGE = [
    None,
    7,
    10**400,
    float("inf"),
    -1.5,
    float("nan"),
    True,
    "",
    " ",
    "x" * 5000,
    "a\x00b",
    "\ud800",
    [],
    [1],
    ["x", None],
    {"$gt": ""},
]
MORE_ENTRIES = {
    "compute_saliency": [{"target": "class"}, {"method": "integrated_gradients"}, {"field": "other"}],
    "export_for_retraining": [{"groups": "reason", "masks": True}],
    "check_gate": [{"regions": "regions", "max_share": ["1"]}],
    "compare_runs": [{"regions": "regions"}],
    "manage_runs": [{"delete": True}],
    "plan_enrichment": [{"pool": "tag: enrich"}],
}


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    """Two models: the one of the maps is not the first of the list."""
    monkeypatch.setenv("FIFTYONE_SALIENCY_MODELS", str(tmp_path / "models.toml"))
    for name in ("another", "colours"):
        fos.register_model(name, f"{colour_model.__file__}:load")
    yield
    for name in ("another", "colours"):
        fos.unregister_model(name)


@pytest.fixture
def samples(fo, dataset, pictures, monkeypatch, tmp_path):
    """Twelve pictures of a square with its mask, predictions, and two runs of the model "colours"."""
    masks = []
    for i, path in enumerate(pictures):
        dataset.add_sample(fo.Sample(filepath=path, ground_truth=fo.Classification(label=colour_model.CLASSES[i % 3])))
        mask = np.zeros((48, 64), np.uint8)
        mask[8 * (i % 4) : 8 * (i % 4) + 12, 12 * (i % 5) : 12 * (i % 5) + 12] = 1
        masks.append(fo.Segmentation(mask=mask))
    dataset.set_values("parts", masks)
    dataset.mask_targets = {"parts": {1: "square"}}
    dataset.save()
    fos.predict(dataset, "colours", progress=False)
    for field in ("saliency", "after"):
        fos.compute_saliency(dataset, "colours", field, progress=False)
    dataset.limit(1).tag_samples("enrich")
    monkeypatch.setenv("FIFTYONE_SALIENCY_FOLDERS", str(tmp_path))
    return dataset


@pytest.fixture
def fewest(samples, tmp_path):
    """The fewest parameters of each operator: what has no default."""
    fos.export_for_retraining(samples, tmp_path / "in", tags=None, progress=False)
    files = {
        "export_for_retraining": {"out_dir": str(tmp_path / "out")},
        "load_export": {"out_dir": str(tmp_path / "in"), "name": "read back headless"},
        "write_report": {"out": str(tmp_path / "report.html")},
    }
    return {**FEWEST, **files}


def test_every_operator_runs_with_the_fewest_parameters_and_answers_with_data(fo, samples, fewest):
    """One test for all: making the dataset costs more than the calls."""
    answers = {}
    for name in NAMES:
        if name == "stop_work":
            continue
        answers[name] = execute(name, samples, fewest.get(name, {})).result
        assert set(answers[name]) > {"text"}, name
        assert answers[name]["text"].strip(), name
        json.dumps(answers[name], allow_nan=False)
    fo.delete_dataset("read back headless")

    assert answers["evaluate_predictions"]["accuracy"] == 1.0
    assert answers["compute_saliency"]["runs"]["saliency"]["counts"]["done"] == 12
    fields = answers["export_for_retraining"]["heatmap_fields"]
    assert fields == ["saliency", "after"], "with heatmaps, as the form says"
    assert answers["check_gate"]["passed"] is False, "nobody checked the maps before the gate ran"
    assert answers["define_regions"]["drawn"] == 12
    assert answers["check_trust"] == fos.load_run(samples, "saliency").trust.to_json() | {
        "model": "colours",
        "text": answers["check_trust"]["text"],
    }
    assert answers["hide_region"]["flips"]["n"] == 12
    assert answers["measure_faithfulness"]["measures"]["deletion"]["summary"]["n"] == 2


def test_the_form_takes_the_model_that_computed_the_maps(samples):
    for name in ("check_trust", "measure_faithfulness"):
        assert resolve(name, samples)["model"]["default"] == "colours"
    assert resolve("hide_region", samples)["model"]["default"] == "colours"
    assert execute("hide_region", samples, {}).result["model"] == "colours"
    (kept,) = fos.load_run(samples, "saliency").hidden
    assert (kept["region"], kept["flips"]["n"]) == ("background", 12)
    assert "background hidden (blur)" in resolve("manage_runs", samples)["record"]["default"].replace("\\", "")
    fos.unregister_model("colours")
    form = resolve("check_trust", samples)
    assert form["model"]["default"] is None
    assert "which is not registered under that name" in form["model"]["view"]["description"]
    with pytest.raises(Exception, match="Path: model"):
        execute("check_trust", samples, {}).raise_exceptions()
    fos.register_model("colours", f"{colour_model.__file__}:load")


def test_new_regions_do_not_take_a_name_that_is_taken(samples):
    assert resolve("define_regions", samples)["name"]["default"] == "regions"
    fos.define_regions(samples, "regions", {"edge": "border(0.1)"})
    assert resolve("define_regions", samples)["name"]["default"] == "regions_2"
    assert refused(resolve("define_regions", samples)) == set()


def test_defaults_of_the_forms_are_those_of_the_verbs(samples):
    """Where a form and a verb share an argument, nobody should have to know which of the two was called."""
    import inspect

    verbs = {
        "check_gate": fos.gate,
        "check_trust": fos.check_trust,
        "cluster_maps": fos.cluster_maps,
        "compute_saliency": fos.compute_saliency,
        "hide_region": fos.hide_region,
        "measure_faithfulness": fos.faithfulness,
        "save_cell_views": fos.save_cell_views,
        "export_for_retraining": fos.export_for_retraining,
    }
    for name, verb in verbs.items():
        form = resolve(name, samples)
        for argument, parameter in inspect.signature(verb).parameters.items():
            if argument in form and isinstance(parameter.default, (bool, int, str)):
                assert form[argument]["default"] == parameter.default, (name, argument)


def form_of(name, dataset, params):
    """The context and the operator as FiftyOne's executor prepares them."""
    import fiftyone.operators as foo
    from fiftyone.operators.executor import ExecutionContext, Executor

    operator = foo.get_operator(f"{PLUGIN}/{name}")
    context = ExecutionContext({"dataset_name": dataset.name, "params": params}, Executor(), operator_uri=operator.uri)
    return operator, context, operator.resolve_input(context).to_json()["type"]["properties"]


def entries(name, dataset, state):
    found = form_of(name, dataset, dict(state))[2]
    return [entry for entry, shown in found.items() if shown["type"]["name"] != "Void"]


@pytest.mark.parametrize("name", NAMES)
def test_garbage_is_refused_in_its_place(steady, name):
    cases = []
    for state in ({}, *MORE_ENTRIES.get(name, ())):
        every = entries(name, steady, state)
        kinds = GARBAGE if not state else ({"a": 1}, "x" * 5000)
        cases += [dict.fromkeys(every, garbage) | state for garbage in kinds]
        cases += [{**state, entry: [1]} for entry in every]
    for params in cases:
        operator, context, form = form_of(name, steady, dict(params))
        json.dumps(form)
        if refused(form):
            with pytest.raises(SaliencyError):
                operator.execute(context)


@pytest.mark.parametrize("name", NAMES)
def test_without_a_dataset_there_is_an_error_of_ours(fo, name):
    import fiftyone.operators as foo
    from fiftyone.operators.executor import ExecutionContext, Executor

    operator = foo.get_operator(f"{PLUGIN}/{name}")
    context = ExecutionContext({"params": {}}, Executor(), operator_uri=operator.uri)
    operator.resolve_input(context)
    with pytest.raises(SaliencyError):
        operator.execute(context)


def test_what_the_form_does_not_know_is_told(samples):
    result = execute("save_cell_views", samples, {"min_cuont": 3, "only": "all"}).result
    assert result["ignored"] == ["min_cuont"]


def test_delegated_work_answers_with_data(fo, samples):
    import fiftyone.operators as foo
    from fiftyone.operators.delegated import DelegatedOperationService

    queued = foo.execute_operator(f"{PLUGIN}/hide_region", ctx={"dataset": samples}, request_delegation=True, params={})
    service = DelegatedOperationService()
    service.execute_operation(service.list_operations(operator=f"{PLUGIN}/hide_region")[-1])
    document = service.list_operations(operator=f"{PLUGIN}/hide_region")[-1]

    assert queued.delegated
    assert document.result.result["flips"]["n"] == 12
    assert "line_0" in str(document.metadata["outputs_schema"])


def streamed(name, dataset, params):
    """What the App gets from an operator with a progress bar."""
    import fiftyone.operators as foo
    from fiftyone.operators.executor import ExecutionContext, Executor

    operator = foo.get_operator(f"{PLUGIN}/{name}")
    request = {"dataset_name": dataset.name, "params": params, "operator_uri": operator.uri}
    context = ExecutionContext(request, Executor(), operator_uri=operator.uri)
    operator.resolve_input(context)
    return [json.loads(message.to_json_line()) for message in operator.execute(context)]


def test_the_app_gets_the_answer_as_its_last_message_and_in_a_dialog_that_stays(samples):
    messages = streamed("hide_region", samples, {})
    shown = [m["body"]["params"] for m in messages if (m["body"] or {}).get("operator_uri") == "show_output"]
    assert messages[-1]["cls"] == "ExecutionResult"
    assert messages[-1]["body"]["flips"]["n"] == 12
    assert messages[-1]["body"]["text"].splitlines()[0] in json.dumps(shown[-1]["results"], ensure_ascii=False)


def test_the_app_is_told_what_failed(samples, pictures, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fiftyone_saliency.dataset.regions.iterate_maps", full)
    monkeypatch.setattr("fiftyone_saliency.api.measures.iterate_maps", full)
    messages = streamed("measure_maps", samples, {})
    shown = [m["body"]["params"] for m in messages if (m["body"] or {}).get("operator_uri") == "show_output"]
    assert "Failed: OSError" in json.dumps(shown[-1])
    assert "No space left on device" in json.dumps(shown[-1])
    assert "No space left" in messages[-1]["error"]
    assert jobs.list_jobs(samples) == []


def test_a_run_that_is_stopped_keeps_what_it_has_and_goes_on(samples, monkeypatch):
    monkeypatch.setattr(_progress, "_EVERY", 0)
    seen = []

    def work(progress):
        def watched(bar):
            seen.append([job.label for job in jobs.list_jobs(samples)])
            if bar.iteration == 4:
                assert execute("stop_work", samples, {}).result["label"] == "Computing"
            progress(bar)

        return fos.compute_saliency(samples, "colours", "stopped", batch_size=1, progress=watched)

    with pytest.raises(StoppedError, match="Computing was stopped at 33%"):
        _progress.run(samples, "Computing", work)

    run = fos.load_run(samples, "stopped")
    assert (run.status, run.counts.done) == ("interrupted", len(samples.exists("stopped")))
    assert 3 <= run.counts.done < 12
    assert seen[0] == ["Computing"]
    assert jobs.list_jobs(samples) == []
    again = fos.compute_saliency(samples, "colours", "stopped", progress=False)
    assert (again.status, again.counts.done, again.counts.resumed) == ("completed", 12, run.counts.done)


def test_nothing_to_stop(samples):
    assert refused(resolve("stop_work", samples)) == {"job"}
