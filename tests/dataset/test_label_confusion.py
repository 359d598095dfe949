"""Matrices of samples with several labels against scikit-learn, and every cell against the ids it must hold."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, multilabel_confusion_matrix

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import FieldError, UnknownNameError
from fiftyone_saliency.core.label_counts import cells_of, count_pairs
from fiftyone_saliency.dataset.label_confusion import split_label_view

# Names that an expression, a regular expression or a list of names could stumble over.
LABELS = ["dog", "cat", "$5", "a.b", "", "not dog", "(none)", "it's"]


@pytest.fixture(scope="module")
def drawn(fo):
    """Forty samples with drawn labels; two without truth, three without prediction, some with empty lists."""
    rng = np.random.default_rng(7)
    dataset = fo.Dataset()

    def some():
        names = [name for name in LABELS if rng.random() < 0.3]
        return fo.Classifications(classifications=[fo.Classification(label=name) for name in names])

    samples = [
        fo.Sample(filepath=f"/nowhere/{i}.png", ground_truth=some(), predictions=some(), weight=int(rng.integers(100)))
        for i in range(40)
    ]
    for i in (3, 8):
        samples[i]["ground_truth"] = None
    for i in (8, 11, 12):
        samples[i]["predictions"] = None
    for i in (1, 2):
        samples[i]["ground_truth"] = samples[i]["predictions"] = fo.Classifications()
    dataset.add_samples(samples, progress=False)
    yield dataset
    dataset.delete()


def read(samples):
    """Return id, true and predicted labels of each sample; None where there is none stored."""
    for sample in samples:
        yield (
            sample.id,
            *(
                None if sample[field] is None else {one.label for one in sample[field].classifications}
                for field in ("ground_truth", "predictions")
            ),
        )


def views(dataset):
    from fiftyone import ViewField as F

    return [dataset, dataset.match(F("weight") > 40), dataset.sort_by("weight").skip(3).limit(25)]


@pytest.mark.parametrize("narrowed", [0, 1, 2])
def test_the_matrix_of_a_label_is_scikit_learns(drawn, narrowed):
    samples = views(drawn)[narrowed]
    rows = [(t, p) for _, t, p in read(samples) if t is not None and p is not None]
    tables = [[[name in side for name in LABELS] for side in column] for column in zip(*rows, strict=True)]
    expected = multilabel_confusion_matrix(*tables)
    for label, ((tn, fp), (fn, tp)) in zip(LABELS, expected, strict=True):
        matrix = fos.confusion(samples, label=label)
        there, away = label, f"not {label}"
        found = [matrix.cells[pair].count for pair in ((away, away), (away, there), (there, away), (there, there))]
        assert found == [tn, fp, fn, tp]
        assert matrix.counts.total == len(samples)
        assert matrix.accuracy == pytest.approx((tn + tp) / len(rows))


@pytest.mark.parametrize("label", LABELS)
def test_every_cell_of_a_label_opens_exactly_its_samples(drawn, label):
    def state(labels):
        return None if labels is None else label if label in labels else f"not {label}"

    matrix = fos.confusion(drawn, label=label)
    seen = 0
    for pair, cell in matrix.cells.items():
        expected = {i for i, t, p in read(drawn) if (state(t), state(p)) == pair}
        assert set(cell.view().values("id")) == expected
        assert cell.count == len(expected)
        assert split_label_view(cell.view(), "ground_truth", "predictions", label) == (drawn.view(), pair)
        seen += len(expected)
    assert seen == len(drawn)


@pytest.mark.parametrize("narrowed", [0, 1, 2])
def test_every_cell_of_pairs_opens_exactly_its_samples(drawn, narrowed):
    samples = views(drawn)[narrowed]
    matrix = fos.confusion(samples)
    assert len(matrix.cells) > 30
    for (truth, prediction), cell in matrix.cells.items():
        expected = set()
        for sample_id, t, p in read(samples):
            if t is not None and p is not None and (truth, prediction) in _pairs(t, p):
                expected.add(sample_id)
        assert set(cell.view().values("id")) == expected
        assert cell.count == len(expected) > 0
        assert split_label_view(cell.view(), "ground_truth", "predictions", None)[1] == (truth, prediction)


def _pairs(truth, predicted):
    """Write the definition out: each missed label beside each wrong one, and what was found."""
    if not truth and not predicted:
        return {(None, None)}
    missed, wrong = truth - predicted, predicted - truth
    pairs = {(name, name) for name in truth & predicted}
    if missed or wrong:
        pairs |= {(t, p) for t in missed or [None] for p in wrong or [None]}
    return pairs


def test_pairs_have_scikit_learns_hits_and_accuracy(drawn):
    rows = [(t, p) for _, t, p in read(drawn) if t is not None and p is not None]
    tables = [[[name in side for name in LABELS] for side in column] for column in zip(*rows, strict=True)]
    matrix = fos.confusion(drawn)
    assert matrix.accuracy == pytest.approx(accuracy_score(*tables))
    counts = matrix.counts
    assert (counts.total, counts.judged) == (40, len(rows)) == (40, 36)
    for label, ((_, fp), (fn, tp)) in zip(LABELS, multilabel_confusion_matrix(*tables), strict=True):
        assert matrix.cells[label, label].count == tp
        assert (counts.row_total(label), counts.column_total(label)) == (tp + fn, tp + fp)
    for by in ("row", "column"):
        shares = counts.normalised(by)
        assert np.nanmax(shares) <= 1
    i = matrix.labels.index("dog")
    (_, fp), (fn, tp) = multilabel_confusion_matrix(*tables)[0]
    assert counts.normalised("row")[i, i] == pytest.approx(tp / (tp + fn)), "recall"
    assert counts.normalised("column")[i, i] == pytest.approx(tp / (tp + fp)), "precision"
    assert "samples, accuracy" in str(matrix)


def test_a_sample_with_one_label_counts_as_in_the_plain_matrix():
    counts = count_pairs((frozenset({t}), frozenset({p})) for t, p in [("a", "b"), ("a", "a"), ("b", "b"), ("a", "b")])
    assert counts.pairs == {("a", "b"): 2, ("a", "a"): 1, ("b", "b"): 1}
    assert counts.accuracy == 0.5
    assert cells_of(frozenset("ab"), frozenset("abc")) == [*cells_of(frozenset("ab"), frozenset("ab")), (None, "c")]


def test_cells_are_saved_as_expressions_that_follow_the_labels(drawn, fo):
    dataset = drawn.clone()
    try:
        names = fos.save_cell_views(dataset, fos.confusion(dataset, label="dog"), only="all")
        assert "dog → not dog (predictions)" in names
        pair = fos.save_cell_view(fos.confusion(dataset).cells["dog", "cat"])
        assert pair == "dog → cat (predictions)"
        found = fos.save_cell_view(fos.confusion(dataset).cells["dog", "dog"])
        assert found == "dog → dog (predictions) 2", "the label's own cell of that name is another one"
        missed = dataset.load_saved_view("dog → not dog (predictions)")
        before = set(missed.values("id"))
        sample = dataset[next(iter(before))]
        sample.predictions.classifications.append(fo.Classification(label="dog"))
        sample.save()
        after = set(dataset.load_saved_view("dog → not dog (predictions)").values("id"))
        assert after == before - {sample.id}
        assert set(fos.delete_cell_views(dataset)) == {*names, pair, found}
    finally:
        dataset.delete()


def test_cells_are_tagged(drawn):
    cell = fos.confusion(drawn, label="cat").cells["cat", "not cat"]
    assert fos.tag_cell(cell, "look") == cell.count == len(drawn.match_tags("look"))
    assert fos.untag_cell(cell, "look") == cell.count


def test_one_label_of_plain_classifications_is_counted_for_itself(colours):
    plain, matrix = fos.confusion(colours), fos.confusion(colours, label="red")
    assert matrix.cells["red", "red"].count == plain.cells["red", "red"].count
    assert matrix.cells["not red", "red"].count == sum(
        cell.count for (t, p), cell in plain.cells.items() if p == "red" != t
    )
    for cell in matrix.cells.values():
        assert len(cell.view()) == cell.count


def test_one_label_and_several_meet(colours, fo):
    """A truth of one label against predictions of several."""
    colours.set_values(
        "said", [fo.Classifications(classifications=[fo.Classification(label="red")]) for _ in range(12)]
    )
    matrix = fos.confusion(colours, "said")
    reds = colours.values("ground_truth.label").count("red")
    assert matrix.cells["red", "red"].count == reds
    assert matrix.cells["green", "red"].count == colours.values("ground_truth.label").count("green")
    assert matrix.accuracy == pytest.approx(reds / 12)
    for cell in matrix.cells.values():
        assert len(cell.view()) == cell.count


def test_what_is_not_there_is_refused(drawn, colours, fo):
    with pytest.raises(UnknownNameError, match=r"label of 'ground_truth' or 'predictions', but got 'dig'.*`dog`"):
        fos.confusion(drawn, label="dig")
    with pytest.raises(UnknownNameError, match="known label, but got 'cow'"):
        _ = fos.confusion(drawn).cells["cow", "dog"]
    colours.add_sample_field("weight", fo.FloatField)
    with pytest.raises(FieldError, match="Classification or Classifications field, but 'weight'"):
        fos.confusion(colours, "weight", label="red")


def test_fiftyones_evaluation_is_not_asked_what_it_cannot_do(drawn):
    with pytest.raises(FieldError, match=r"several labels per sample, which FiftyOne does not evaluate\. Count them"):
        fos.evaluate(drawn, eval_key="mine")
    assert drawn.list_evaluations() == []
