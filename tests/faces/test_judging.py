"""The operators that judge and read back: limits, faithfulness, exports."""

from __future__ import annotations

import pytest

import fiftyone_saliency as fos
from tests.e2e import colour_model
from tests.faces.test_operators import PLUGIN, execute, refused, resolve
from tests.faces.test_proof import model, own_models, samples  # noqa: F401 - fixtures

GATE = {"field": "saliency", "regions": "parts", "gt_field": "ground_truth", "pred_field": "predictions"}


def steps(name, dataset, params):
    """What an operator with a progress bar sends to the App."""
    import fiftyone.operators as foo
    from fiftyone.operators.executor import ExecutionContext, Executor

    operator = foo.get_operator(f"{PLUGIN}/{name}")
    context = ExecutionContext({"dataset_name": dataset.name, "params": params}, Executor(), operator_uri=operator.uri)
    return list(operator.execute(context))


@pytest.fixture
def explained(samples):  # noqa: F811
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
    assert result["verdict"] == verdict == ("passed" if expected.passed else "failed")
    assert expected.checks[0].text in result["checks"]


def test_gate_withholds_where_nobody_checked_the_maps(explained):
    result = execute("check_gate", explained, GATE | {"min_accuracy": 0, "require_trust": True}).result
    assert result["verdict"] == "failed"
    assert "nobody checked" in result["checks"]


def test_faithfulness_ends_with_one_sentence_per_measure(explained, model):  # noqa: F811
    params = {"model": model, "run": "saliency", "measures": ["deletion"], "count": 3}
    assert refused(resolve("measure_faithfulness", explained, params)) == set()

    last = [str(message.to_json()) for message in steps("measure_faithfulness", explained, params)]

    found = fos.faithfulness(explained, colour_model.load(), measures=["deletion"], count=3, progress=False)
    assert any(f"deletion {found['deletion'].summary}" in text for text in last)


def test_faithfulness_needs_maps(samples, model):  # noqa: F811
    assert refused(resolve("measure_faithfulness", samples)) == {"run"}


def test_an_export_is_read_back_into_a_dataset_of_its_own(fo, explained, tmp_path):
    folder = tmp_path / "out"
    fos.export_for_retraining(explained.limit(4), folder, tags=None, progress=False)

    result = execute("load_export", explained, {"out_dir": str(folder), "name": "read back"}).result

    loaded = fo.load_dataset("read back")
    assert result["loaded"] == "4 samples in read back"
    assert loaded.persistent
    assert loaded.values("ground_truth.label") == explained.limit(4).values("ground_truth.label")
    assert refused(resolve("load_export", explained, {"out_dir": "here", "name": "read back"})) == {"out_dir", "name"}
    loaded.delete()


def test_a_folder_without_an_export_leaves_no_dataset(fo, explained, tmp_path):
    with pytest.raises(Exception, match="hold a finished export"):
        execute("load_export", explained, {"out_dir": str(tmp_path), "name": "nothing"}).raise_exceptions()
    assert not fo.dataset_exists("nothing")
