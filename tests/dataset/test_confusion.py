"""The confusion matrix against a count in Python, and every cell against the ids it must hold."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, FieldError, UnknownNameError
from fiftyone_saliency.dataset.confusion import split_cell_view

# Names that a database, a URL, a regular expression or a format string could stumble over.
LABELS = ["cake", "Cake", "two words", 'it\'s "it"', "crème 日本", "$5", "$", "$$R", "a.b", "(none)", "%s {} .*", ""]
# What once joined two labels, and what stood for none: they are characters of a label like others.
LABELS += ["a\x1fb", "\x1f", "\n\t", "x → y"]
NO_LABEL = "a Classification without label"


@pytest.fixture(scope="module")
def awkward(fo):
    """Every pair of labels, missing ones included, one to three times; two samples lack the fields altogether."""
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(filepath=f"/nowhere/bare-{i}.png", weight=i) for i in range(2)], progress=False)

    def label(name):
        if name is None:
            return None
        return fo.Classification() if name == NO_LABEL else fo.Classification(label=name)

    samples = []
    options = [*LABELS, None, NO_LABEL]
    for i, truth in enumerate(options):
        for j, prediction in enumerate(options):
            for copy in range(1 + (5 * i + j) % 3):
                path = f"/nowhere/{i}-{j}-{copy}.png"
                sample = fo.Sample(filepath=path, ground_truth=label(truth), predictions=label(prediction))
                sample["weight"] = (37 * i + 11 * j + copy) % 101
                samples.append(sample)
    dataset.add_samples(samples, progress=False)
    yield dataset
    dataset.delete()


def the_dataset(dataset):
    return dataset


def a_filtered_view(dataset):
    from fiftyone import ViewField as F

    return dataset.match(F("weight") > 40)


def a_sorted_and_limited_view(dataset):
    return dataset.sort_by("weight", reverse=True).skip(7).limit(150)


NARROWED = [the_dataset, a_filtered_view, a_sorted_and_limited_view]


def ids_by_pair(samples):
    """Count in Python, one sample at a time."""
    ids = defaultdict(list)
    for sample in samples:
        labels = [None if sample[field] is None else sample[field].label for field in ("ground_truth", "predictions")]
        ids[tuple(labels)].append(sample.id)
    return dict(ids)


@pytest.mark.parametrize("narrow", NARROWED)
def test_counts_equal_a_count_in_python(awkward, narrow):
    samples = narrow(awkward)
    expected = {pair: len(ids) for pair, ids in ids_by_pair(samples).items()}
    matrix = fos.confusion(samples)
    assert dict(matrix.counts.pairs) == expected
    assert matrix.counts.total == len(samples)
    table = {
        (truth, prediction): matrix.counts.counts[i, j]
        for i, truth in enumerate(matrix.labels)
        for j, prediction in enumerate(matrix.labels)
    }
    assert {pair: n for pair, n in table.items() if n} == expected


@pytest.mark.parametrize("narrow", NARROWED)
def test_every_cell_holds_exactly_its_samples_in_their_order(awkward, narrow):
    samples = narrow(awkward)
    expected = ids_by_pair(samples)
    matrix = fos.confusion(samples)
    assert {pair: cell.view().values("id") for pair, cell in matrix.cells.items()} == expected
    assert {pair: cell.count for pair, cell in matrix.cells.items()} == {p: len(ids) for p, ids in expected.items()}


@pytest.mark.parametrize("narrow", NARROWED)
def test_every_cell_view_can_be_taken_apart_again(awkward, narrow):
    samples = narrow(awkward)
    everything = samples.values("id")
    for pair, cell in fos.confusion(samples).cells.items():
        base, found = split_cell_view(cell.view(), "ground_truth", "predictions")
        assert found == pair
    assert base.values("id") == everything


def test_a_view_that_is_no_cell_is_left_whole(awkward):
    view = a_filtered_view(awkward)
    cell = fos.confusion(view).cells["cake", None].view()
    assert split_cell_view(view, "ground_truth", "predictions") == (view, None)
    assert split_cell_view(cell, "predictions", "ground_truth") == (cell, None)
    assert split_cell_view(cell.limit(1), "ground_truth", "predictions")[1] is None


def test_a_class_that_is_called_none_is_not_a_missing_label(awkward):
    matrix = fos.confusion(awkward)
    named, missing = matrix.cells["(none)", "cake"], matrix.cells[None, "cake"]
    assert named.name == missing.name == "(none) → cake"
    assert len(named.view()) == named.count > 0
    assert len(missing.view()) == missing.count > 0
    assert not set(named.view().values("id")) & set(missing.view().values("id"))


def test_labels_stand_in_order_with_the_missing_one_last(awkward):
    assert fos.confusion(awkward).labels == [*sorted(LABELS), None]


@pytest.fixture
def bakery(dataset):
    """Six samples: cake → chocolate ×2, cake → cake, bread → bread, bread → none, none → cake."""
    from tests.models_for_tests import add_pictures

    truths = ["cake", "cake", "cake", "bread", "bread", None]
    predictions = ["chocolate", "chocolate", "cake", "bread", None, "cake"]
    return add_pictures(dataset, [f"/nowhere/{i}.png" for i in range(6)], truths, predictions)


def test_a_small_matrix_by_hand(bakery):
    matrix = fos.confusion(bakery)
    assert matrix.labels == ["bread", "cake", "chocolate", None]
    expected = np.array([[1, 0, 0, 1], [0, 1, 2, 0], [0, 0, 0, 0], [0, 1, 0, 0]])
    np.testing.assert_array_equal(matrix.counts.counts, expected)
    assert matrix.accuracy == 2 / 4, "samples that lack a label are not judged"
    assert str(matrix) == (
        "6 samples, accuracy 0.500; most confused: cake → chocolate (2), (none) → cake (1), bread → (none) (1)"
    )


def test_a_cell_says_what_it_is(bakery):
    cells = fos.confusion(bakery).cells
    assert (cells["cake", "chocolate"].name, cells["cake", "chocolate"].is_error) == ("cake → chocolate", True)
    assert (cells["cake", "cake"].name, cells["cake", "cake"].is_error) == ("cake → cake", False)
    assert (cells["bread", None].name, cells["bread", None].is_error) == ("bread → (none)", True)


def test_an_empty_cell_of_known_labels_can_be_asked_for(bakery):
    cell = fos.confusion(bakery).cells["chocolate", "cake"]
    assert cell.count == 0
    assert cell.view().values("id") == []


def test_an_unknown_label_brings_the_nearest(bakery):
    cells = fos.confusion(bakery).cells
    with pytest.raises(UnknownNameError, match=r"known label, but got 'chocolat'. Did you mean `chocolate`\?"):
        cells["cake", "chocolat"]
    with pytest.raises(ArgumentError, match=r"Expected cells\[truth, prediction\], but got cells\['cake'\]"):
        cells["cake"]


def test_a_cell_follows_relabelling(bakery, fo):
    matrix = fos.confusion(bakery)
    cell = matrix.cells["cake", "chocolate"]
    first, second = cell.view().values("id")
    sample = bakery[first]
    sample["ground_truth"] = fo.Classification(label="chocolate")
    sample.save()
    assert cell.view().values("id") == [second]
    assert matrix.cells["chocolate", "chocolate"].view().values("id") == [first]
    assert cell.count == 2, "the count is that of the time of counting"
    assert fos.confusion(bakery).cells["cake", "chocolate"].count == 1


def test_a_view_without_samples_has_an_empty_matrix(bakery):
    matrix = fos.confusion(bakery.match_tags("no such tag"))
    assert (matrix.labels, dict(matrix.cells), matrix.accuracy) == ([], {}, None)
    assert matrix.counts.counts.shape == (0, 0)
    assert str(matrix) == "0 samples, accuracy undefined"


def test_an_evaluation_names_the_fields_and_agrees_with_fiftyone(bakery):
    """FiftyOne names a missing label "(none)"; all else must be equal."""
    bakery.rename_sample_field("ground_truth", "truth")
    bakery.rename_sample_field("predictions", "guess")
    results = bakery.evaluate_classifications("guess", gt_field="truth", eval_key="ev", progress=False)
    matrix = fos.confusion(bakery, eval_key="ev")
    assert (matrix.gt_field, matrix.pred_field) == ("truth", "guess")
    theirs = results.confusion_matrix(classes=["bread", "cake", "chocolate", results.missing])
    np.testing.assert_array_equal(matrix.counts.counts, theirs)


def test_an_unknown_evaluation_brings_the_nearest(bakery):
    bakery.evaluate_classifications("predictions", gt_field="ground_truth", eval_key="eval_one", progress=False)
    with pytest.raises(UnknownNameError, match=r"known evaluation, but got 'eval_on'. Did you mean `eval_one`\?"):
        fos.confusion(bakery, eval_key="eval_on")


def test_an_evaluation_of_detections_is_refused(dataset, fo):
    box = fo.Detection(label="cat", bounding_box=[0, 0, 0.5, 0.5], confidence=0.9)
    boxes = {name: fo.Detections(detections=[box.copy()]) for name in ("truth", "guess")}
    dataset.add_sample(fo.Sample(filepath="/nowhere/0.png", **boxes))
    dataset.evaluate_detections("guess", gt_field="truth", eval_key="boxes", progress=False)
    with pytest.raises(FieldError, match="Expected a classification evaluation, but 'boxes' is of type 'detection'"):
        fos.confusion(dataset, eval_key="boxes")
    with pytest.raises(FieldError, match="`pred_field` to name a Classification field, but 'guess' is a Detections"):
        fos.confusion(dataset, "guess", gt_field="truth")


def test_fields_that_do_not_exist_bring_the_nearest(bakery):
    with pytest.raises(UnknownNameError, match=r"`pred_field`, but got 'prediction'. Did you mean `predictions`"):
        fos.confusion(bakery, "prediction")
    with pytest.raises(UnknownNameError, match=r"`gt_field`, but got 'groundtruth'. Did you mean `ground_truth`"):
        fos.confusion(bakery, gt_field="groundtruth")
    with pytest.raises(FieldError, match="`pred_field` to name a Classification field, but 'filepath' is a StringF"):
        fos.confusion(bakery, "filepath")


def test_both_a_field_and_an_evaluation_are_refused(bakery):
    with pytest.raises(ArgumentError, match="Expected either `pred_field` or `eval_key`, but got both"):
        fos.confusion(bakery, "predictions", eval_key="ev")


def test_what_is_no_dataset_of_images_is_refused(dataset, fo):
    with pytest.raises(FieldError, match="Expected `samples` to be a FiftyOne dataset or view, but got list"):
        fos.confusion([1, 2])
    dataset.add_sample(fo.Sample(filepath="/nowhere/film.mp4"))
    with pytest.raises(FieldError, match="Expected a dataset of images, but got media type 'video'"):
        fos.confusion(dataset)
