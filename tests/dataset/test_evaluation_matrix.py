"""The matrix of an evaluation: its own samples and labels, whatever has been added or changed since."""

from __future__ import annotations

import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, FieldError

TRUTHS = ["cake", "cake", "bread", "(none)", "pie", None, "pie", "cake", "bread", "pie"]
SAID = ["cake", "bread", "bread", "(none)", None, "pie", "(none)", "cake", "cake", "pie"]


@pytest.fixture
def bakery(fo):
    def label(name):
        return None if name is None else fo.Classification(label=name)

    dataset = fo.Dataset()
    rows = enumerate(zip(TRUTHS, SAID, strict=True))
    samples = [fo.Sample(f"/nowhere/{i}.png", truth=label(t), guess=label(p), place=-i) for i, (t, p) in rows]
    dataset.add_samples(samples, progress=False)
    yield dataset
    dataset.delete()


def evaluate(samples):
    samples.evaluate_classifications("guess", gt_field="truth", eval_key="ev", progress=False)
    samples.reload()


def expected(rows):
    counts = {}
    for row in rows:
        counts[row] = counts.get(row, 0) + 1
    return counts


def opened(matrix):
    """Return the ids that each cell opens, and check that the counts say as many."""
    ids = {pair: sorted(cell.view().values("id")) for pair, cell in matrix.cells.items()}
    assert {pair: len(own) for pair, own in ids.items()} == dict(matrix.counts.pairs)
    return ids


ROWS = list(zip(TRUTHS, SAID, strict=True))


@pytest.mark.parametrize(
    ("narrow", "seen"),
    [
        (lambda dataset: dataset, range(10)),
        (lambda dataset: dataset.limit(4), range(4)),
        (lambda dataset: dataset.sort_by("place").limit(4), range(6, 10)),
    ],
    ids=["all", "the first four", "four of a sorted view"],
)
@pytest.mark.parametrize("change", ["nothing", "labels", "label objects", "a deleted sample"])
def test_matrix_is_of_the_samples_and_labels_that_the_evaluation_saw(fo, bakery, narrow, seen, change):
    evaluate(narrow(bakery))
    bakery.add_sample(fo.Sample("/nowhere/new.png", truth=fo.Classification(label="new")))
    ids = dict(enumerate(bakery.values("id")))
    seen = list(seen)
    if change == "labels":
        bakery.match(fo.ViewField("truth.label") == "cake").set_field("truth.label", "tart").save()
    elif change == "label objects":
        sample = bakery[ids[seen[0]]]
        sample["guess"] = fo.Classification(label="tart")
        sample.save()
    elif change == "a deleted sample":
        bakery.delete_samples(ids[seen.pop()])
    matrix = fos.confusion(bakery, eval_key="ev")
    assert dict(matrix.counts.pairs) == expected(ROWS[i] for i in seen)
    members = {pair: sorted(ids[i] for i in seen if ROWS[i] == pair) for pair in {ROWS[i] for i in seen}}
    assert opened(matrix) == members
    (name, *_) = fos.save_cell_views(bakery, matrix, only="all")
    assert len(bakery.load_saved_view(name)) == max(matrix.counts.pairs.values())


def test_a_view_shows_its_part_of_the_evaluation(bakery):
    evaluate(bakery.limit(6))
    assert dict(fos.confusion(bakery.skip(4), eval_key="ev").counts.pairs) == expected(ROWS[4:6])
    assert fos.confusion(bakery.skip(6), eval_key="ev").counts.total == 0


def test_labels_that_cannot_be_found_any_more_are_an_error(fo, bakery):
    """Sorted when it was evaluated, so that the order does not tell, and new labels in both fields."""
    evaluate(bakery.sort_by("place"))
    for sample in bakery.limit(2):
        sample["truth"], sample["guess"] = fo.Classification(label="x"), fo.Classification(label="y")
        sample.save()
    with pytest.raises(FieldError, match=r"2 samples have new ones in both fields.* Evaluate again"):
        fos.confusion(bakery, eval_key="ev")


def test_new_labels_in_both_fields_are_told_by_the_order_of_the_samples(fo, bakery):
    evaluate(bakery)
    for sample in bakery.limit(2):
        sample["truth"], sample["guess"] = fo.Classification(label="x"), fo.Classification(label="y")
        sample.save()
    assert dict(fos.confusion(bakery, eval_key="ev").counts.pairs) == expected(ROWS)


def test_an_evaluation_without_its_field_or_with_a_label_is_refused(bakery):
    evaluate(bakery)
    with pytest.raises(ArgumentError, match="no `label` beside `eval_key`"):
        fos.confusion(bakery, eval_key="ev", label="cake")
    bakery.delete_sample_field("ev")
    with pytest.raises(FieldError, match="'ev' to say which samples the evaluation saw, but it is gone"):
        fos.confusion(bakery, eval_key="ev")
