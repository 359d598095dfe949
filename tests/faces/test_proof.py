"""The operators that prove, judge and read back: forms that offer what is there, and answers in words."""

from __future__ import annotations

import numpy as np
import pytest

import fiftyone_saliency as fos
from tests.e2e import colour_model
from tests.faces.test_operators import PLUGIN, execute, refused, resolve

GATE = {"field": "saliency", "regions": "parts", "gt_field": "ground_truth", "pred_field": "predictions"}


@pytest.fixture(autouse=True)
def own_models(tmp_path, monkeypatch):
    """Models that other tests registered must not be offered here."""
    monkeypatch.setenv("FIFTYONE_SALIENCY_MODELS", str(tmp_path / "models.toml"))


@pytest.fixture
def model(own_models):
    fos.register_model("colours", f"{colour_model.__file__}:load")
    yield "colours"
    fos.unregister_model("colours")


@pytest.fixture
def samples(fo, dataset, pictures):
    """Pictures of a bright square, which is a region by mask and by box."""
    names, masks = colour_model.CLASSES, []
    for i in range(12):
        dataset.add_sample(fo.Sample(filepath=pictures[i], ground_truth=fo.Classification(label=names[i % 3])))
        mask = np.zeros((48, 64), np.uint8)
        mask[8 * (i % 4) : 8 * (i % 4) + 12, 12 * (i % 5) : 12 * (i % 5) + 12] = 1
        masks.append(fo.Segmentation(mask=mask))
    dataset.set_values("parts", masks)
    dataset.mask_targets = {"parts": {1: "square"}}
    dataset.save()
    return dataset


def test_hide_a_region(samples, model):
    form = resolve("hide_region", samples)
    assert form["model"]["type"]["values"] == ["colours"]
    assert form["regions"]["type"]["values"] == ["parts"]
    assert form["region"]["type"]["values"] == ["background", "square"]
    assert refused(form) == set()
    params = {"model": "colours", "regions": "parts", "region": "square", "fill": "mean", "controls": 2}

    execute("hide_region", samples, params | {"gt_field": "ground_truth", "store_field": "effect"})

    hidden = fos.hide_region(
        samples, colour_model.load(), "parts", "square", fill="mean", controls=2, pred_field=None, progress=False
    )
    assert samples.values("effect.flip") == hidden.column("flip")
    assert samples.values("effect.control_logit_change") == pytest.approx(hidden.column("control_logit_change"))


def test_hiding_needs_a_model_regions_and_one_of_them(fo, samples, model):
    assert refused(resolve("hide_region", samples, {"regions": "parts", "region": "hat"})) == {"region"}
    fos.unregister_model("colours")
    samples.delete_sample_field("parts")
    assert {"model", "regions"} <= refused(resolve("hide_region", samples))
    fos.register_model("colours", f"{colour_model.__file__}:load")


def test_check_trust(samples, model):
    assert "run" in refused(resolve("check_trust", samples))
    loaded = colour_model.load()
    fos.predict(samples, loaded, progress=False)
    fos.compute_saliency(samples, loaded, progress=False)
    form = resolve("check_trust", samples)
    assert form["run"]["type"]["values"] == ["saliency"]
    assert "not checked yet" in form["verdict"]["default"]
    assert refused(form) == set()

    execute("check_trust", samples, {"model": "colours", "run": "saliency", "count": 4})

    trust = fos.load_run(samples, "saliency").trust
    assert trust["randomisation"].value.n == 4
    shown = resolve("check_trust", samples, {"run": "saliency"})["verdict"]["default"].replace("\\", "")
    assert ("**passed**" if trust.passed else "**did not pass**") in shown
    assert trust["randomisation"].reason in shown


def steps(name, dataset, params):
    """What an operator with a progress bar sends to the App."""
    import fiftyone.operators as foo
    from fiftyone.operators.executor import ExecutionContext, Executor

    operator = foo.get_operator(f"{PLUGIN}/{name}")
    context = ExecutionContext({"dataset_name": dataset.name, "params": params}, Executor(), operator_uri=operator.uri)
    return list(operator.execute(context))


@pytest.fixture
def explained(samples):
    loaded = colour_model.load()
    fos.predict(samples, loaded, progress=False)
    fos.compute_saliency(samples, loaded, progress=False)
    return samples


def test_gate_offers_a_number_for_each_region_that_is_limited(explained):
    form = resolve("check_gate", explained, {"max_share": ["background"], "min_share": ["square"]})
    assert {name for name in form if "__" in name} == {"max_share__0", "min_share__1"}
    assert form["max_share__0"]["type"]["max"] == 1
    assert refused(form) == set()


def test_gate_needs_a_limit_and_maps(explained):
    assert refused(resolve("check_gate", explained)) == {"require_trust"}
    assert refused(resolve("check_gate", explained, {"min_accuracy": 0.5})) == set()
    explained.delete_sample_field("saliency")
    assert "field" in refused(resolve("check_gate", explained, {"min_accuracy": 0.5}))


@pytest.mark.parametrize(("least", "verdict"), [(0.001, "passed"), (0.999, "failed")])
def test_gate_says_of_each_limit_whether_it_is_kept(explained, least, verdict):
    params = GATE | {"min_share": ["square"], "min_share__1": least, "require_trust": False}
    result = execute("check_gate", explained, params).result
    expected = fos.gate(explained, regions="parts", min_share={"square": least}, require_trust=False)
    assert result["passed"] == expected.passed == (verdict == "passed")
    assert result["checks"] == [check.to_json() for check in expected.checks]
    assert expected.checks[0].text in result["text"]


def test_gate_holds_each_class_to_the_limits_where_that_is_asked(explained):
    params = GATE | {"max_share": ["background"], "max_share__0": 0.9, "by_class": True, "require_trust": False}
    checks = fos.gate(explained, regions="parts", max_share={"background": 0.9}, by="class", require_trust=False).checks
    told = execute("check_gate", explained, params).result["checks"]
    assert [one["text"] for one in told] == [check.text for check in checks]
    assert len(told) == 4


def test_gate_withholds_where_nobody_checked_the_maps(explained):
    result = execute("check_gate", explained, GATE | {"min_accuracy": 0, "require_trust": True}).result
    assert result["passed"] is False
    assert "nobody checked" in result["text"]


def test_faithfulness_ends_with_one_sentence_per_measure(explained, model):
    params = {"model": model, "run": "saliency", "measures": ["deletion"], "count": 3}
    assert refused(resolve("measure_faithfulness", explained, params)) == set()

    last = [str(message.to_json()) for message in steps("measure_faithfulness", explained, params)]

    found = fos.faithfulness(explained, colour_model.load(), measures=["deletion"], count=3, progress=False)
    assert any(f"deletion {found['deletion'].summary}" in text for text in last)


def test_faithfulness_needs_maps(samples, model):
    assert refused(resolve("measure_faithfulness", samples)) == {"run"}


def test_an_export_is_read_back_into_a_dataset_of_its_own(fo, explained, tmp_path):
    folder = tmp_path / "out"
    fos.export_for_retraining(explained.limit(4), folder, tags=None, progress=False)

    result = execute("load_export", explained, {"out_dir": str(folder), "name": "read back"}).result

    loaded = fo.load_dataset("read back")
    assert (result["text"], result["count"]) == ("4 samples in read back", 4)
    assert loaded.persistent
    assert loaded.values("ground_truth.label") == explained.limit(4).values("ground_truth.label")
    assert refused(resolve("load_export", explained, {"out_dir": "here", "name": "read back"})) == {"out_dir", "name"}
    loaded.delete()


def test_a_folder_without_an_export_leaves_no_dataset(fo, explained, tmp_path):
    with pytest.raises(Exception, match="hold a finished export"):
        execute("load_export", explained, {"out_dir": str(tmp_path), "name": "nothing"}).raise_exceptions()
    assert not fo.dataset_exists("nothing")


@pytest.mark.parametrize("name", ["check_gate", "measure_faithfulness", "load_export"])
def test_forms_stand_on_an_empty_view(explained, name):
    empty = explained.match_tags("nothing has this tag")
    assert len(empty) == 0
    assert resolve(name, explained, view=empty)


def test_the_gate_says_so_where_there_is_nothing_to_judge(explained):
    empty = explained.match_tags("nothing has this tag")
    with pytest.raises(Exception, match=r"is empty|no samples|holds none"):
        execute("check_gate", explained, GATE | {"min_accuracy": 0.5}, view=empty).raise_exceptions()
