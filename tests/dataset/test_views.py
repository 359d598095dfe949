"""Confusion cells as saved views: names, order, what they hold, and whose views are left alone."""

from __future__ import annotations

import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, RunConflictError, UnknownNameError
from tests.models_for_tests import add_pictures


def fill(dataset, pairs):
    """Add one sample for each (truth, prediction)."""
    paths = [f"/nowhere/{dataset.name}-{len(dataset)}-{i}.png" for i in range(len(pairs))]
    return add_pictures(dataset, paths, [truth for truth, _ in pairs], [prediction for _, prediction in pairs])


@pytest.fixture
def bakery(dataset):
    pairs = [("cake", "chocolate")] * 3 + [("cake", "cake")] * 2 + [("bread", "bread")] * 4
    return fill(dataset, [*pairs, (None, "cake"), ("bread", "cake")])


ERRORS = ["cake → chocolate (predictions)", "(none) → cake (predictions)", "bread → cake (predictions)"]
CORRECT = ["bread → bread (predictions)", "cake → cake (predictions)"]


@pytest.mark.parametrize(
    ("only", "min_count", "names"),
    [
        ("errors", 1, ERRORS),
        ("errors", 2, ERRORS[:1]),
        ("errors", 4, []),
        ("correct", 1, CORRECT),
        ("correct", 3, CORRECT[:1]),
        ("all", 1, [CORRECT[0], ERRORS[0], CORRECT[1], ERRORS[1], ERRORS[2]]),
        ("all", 2, [CORRECT[0], ERRORS[0], CORRECT[1]]),
    ],
)
def test_the_cells_asked_for_are_saved_fullest_first(bakery, only, min_count, names):
    assert fos.save_cell_views(bakery, fos.confusion(bakery), only=only, min_count=min_count) == names
    assert sorted(bakery.list_saved_views()) == sorted(names)


def test_the_errors_are_saved_by_default(bakery):
    assert fos.save_cell_views(bakery, fos.confusion(bakery)) == ERRORS


def test_a_saved_cell_reloads_to_exactly_its_samples(bakery):
    matrix = fos.confusion(bakery)
    expected = {f"{cell.name} (predictions)": cell.view().values("id") for cell in matrix.cells.values()}
    fos.save_cell_views(bakery, matrix, only="all")
    bakery.reload()
    assert {name: bakery.load_saved_view(name).values("id") for name in bakery.list_saved_views()} == expected
    assert [len(expected[name]) for name in ERRORS + CORRECT] == [3, 1, 1, 4, 2]


def test_a_saved_cell_of_a_view_stays_inside_the_view(bakery):
    view = bakery.limit(2)
    assert fos.save_cell_views(bakery, fos.confusion(view)) == ["cake → chocolate (predictions)"]
    assert bakery.load_saved_view("cake → chocolate (predictions)").values("id") == view.values("id")


def test_a_saved_cell_follows_relabelling(bakery, fo):
    fos.save_cell_views(bakery, fos.confusion(bakery))
    sample = bakery.load_saved_view("bread → cake (predictions)").first()
    sample["ground_truth"] = fo.Classification(label="cake")
    sample.save()
    assert len(bakery.load_saved_view("bread → cake (predictions)")) == 0


def test_one_cell_can_be_saved_alone(bakery):
    assert fos.save_cell_view(fos.confusion(bakery).cells["cake", "chocolate"]) == "cake → chocolate (predictions)"
    assert bakery.list_saved_views() == ["cake → chocolate (predictions)"]


def test_a_saved_cell_says_what_it_is_and_errors_differ_in_colour(bakery):
    fos.save_cell_views(bakery, fos.confusion(bakery), only="all")
    wrong, right = (bakery.get_saved_view_info(name) for name in (ERRORS[0], CORRECT[0]))
    assert "ground_truth is 'cake' and predictions is 'chocolate'. 3 samples when saved." in wrong["description"]
    assert wrong["color"] != right["color"]


def test_saving_again_updates_and_adds_nothing(bakery):
    first = fos.save_cell_views(bakery, fos.confusion(bakery))
    fill(bakery, [("cake", "chocolate")])
    again = fos.save_cell_views(bakery, fos.confusion(bakery))
    assert again == first
    assert sorted(bakery.list_saved_views()) == sorted(first)
    assert "4 samples when saved" in bakery.get_saved_view_info("cake → chocolate (predictions)")["description"]


@pytest.mark.parametrize("labels", [["C", "C++", "C#"], ["Cake", "cake"], ["日本", "中国", "한국"], ["a b", "a-b"]])
def test_labels_that_fiftyone_reads_alike_keep_views_of_their_own(dataset, labels):
    """FiftyOne tells saved views apart by a slug of ASCII letters, which these labels share."""
    fill(dataset, [(label, "other") for i, label in enumerate(labels) for _ in range(i + 1)])
    matrix = fos.confusion(dataset)
    names = fos.save_cell_views(dataset, matrix)
    assert len(set(names)) == len(labels)
    fullest_first = list(reversed(labels))
    for name, label in zip(names, fullest_first, strict=True):
        assert name.startswith(f"{label} → other (predictions)")
        assert dataset.load_saved_view(name).values("id") == matrix.cells[label, "other"].view().values("id")
    assert fos.save_cell_views(dataset, matrix) == names, "saving again finds the same views"
    assert len(dataset.list_saved_views()) == len(labels)


def test_a_class_called_none_and_a_missing_label_keep_views_of_their_own(dataset):
    fill(dataset, [("(none)", "cake"), ("(none)", "cake"), (None, "cake")])
    matrix = fos.confusion(dataset)
    names = fos.save_cell_views(dataset, matrix)
    assert len(set(names)) == 2
    assert [dataset.load_saved_view(name).values("ground_truth.label") for name in names] == [["(none)"] * 2, [None]]
    assert fos.save_cell_views(dataset, matrix) == names


def test_cells_of_another_ground_truth_do_not_replace_each_other(dataset, fo):
    fill(dataset, [("cake", "chocolate"), ("bread", "chocolate")])
    for sample, label in zip(dataset, ("bread", "cake"), strict=True):
        sample["reviewed"] = fo.Classification(label=label)
        sample.save()
    saved = {
        (gt_field, truth): fos.save_cell_view(fos.confusion(dataset, gt_field=gt_field).cells[truth, "chocolate"])
        for gt_field in ("ground_truth", "reviewed")
        for truth in ("bread", "cake")
    }
    assert len(set(saved.values())) == 4
    for (gt_field, truth), name in saved.items():
        assert dataset.load_saved_view(name).values(f"{gt_field}.label") == [truth]


def test_two_predictions_keep_views_of_their_own(bakery):
    bakery.clone_sample_field("predictions", "before")
    names = [fos.save_cell_view(fos.confusion(bakery, f).cells["cake", "cake"]) for f in ("predictions", "before")]
    assert names == ["cake → cake (predictions)", "cake → cake (before)"]
    assert sorted(bakery.list_saved_views()) == sorted(names)


def test_labels_of_any_length_can_be_saved(dataset):
    long = "a very long label " * 20
    fill(dataset, [(long, "cake")])
    (name,) = fos.save_cell_views(dataset, fos.confusion(dataset))
    assert dataset.load_saved_view(name).values("ground_truth.label") == [long]


def test_a_view_of_the_user_is_never_overwritten(bakery):
    bakery.save_view("cake → chocolate (predictions)", bakery.limit(1), description="mine")
    with pytest.raises(RunConflictError, match=r"'cake → chocolate \(predictions\)' to be free, but another view"):
        fos.save_cell_views(bakery, fos.confusion(bakery))
    assert len(bakery.load_saved_view("cake → chocolate (predictions)")) == 1
    assert bakery.get_saved_view_info("cake → chocolate (predictions)")["description"] == "mine"


def test_a_view_of_the_user_that_only_reads_alike_is_never_overwritten(bakery):
    bakery.save_view("Cake Chocolate Predictions", bakery.limit(1))
    assert fos.save_cell_views(bakery, fos.confusion(bakery), min_count=2) == ["cake → chocolate (predictions) 2"]
    assert len(bakery.load_saved_view("Cake Chocolate Predictions")) == 1
    assert len(bakery.load_saved_view("cake → chocolate (predictions) 2")) == 3


def test_deleting_removes_cells_and_nothing_else(bakery):
    bakery.save_view("mine", bakery.limit(1), description="my favourite")
    bakery.save_view("mine too", bakery.limit(2))
    names = fos.save_cell_views(bakery, fos.confusion(bakery))
    assert sorted(fos.delete_cell_views(bakery)) == sorted(names)
    assert bakery.list_saved_views() == ["mine", "mine too"]
    assert fos.delete_cell_views(bakery) == []


def test_only_the_named_cells_are_deleted(bakery):
    bakery.save_view("mine", bakery.limit(1))
    fos.save_cell_views(bakery, fos.confusion(bakery))
    assert fos.delete_cell_views(bakery.limit(1), [ERRORS[1], "mine", "no such view"]) == [ERRORS[1]]
    assert sorted(bakery.list_saved_views()) == sorted([ERRORS[0], ERRORS[2], "mine"])


def test_a_matrix_of_another_dataset_is_refused(bakery, fo):
    other = fill(fo.Dataset(), [("cake", "chocolate")])
    with pytest.raises(ArgumentError, match="`matrix` to be counted on `samples`, but it belongs to another dataset"):
        fos.save_cell_views(bakery, fos.confusion(other))
    assert bakery.list_saved_views() == other.list_saved_views() == []
    other.delete()


def test_a_matrix_of_a_view_belongs_to_its_dataset(bakery):
    assert fos.save_cell_views(bakery.limit(5), fos.confusion(bakery.limit(9)))


def test_parameters_that_make_no_sense_are_refused(bakery):
    matrix = fos.confusion(bakery)
    with pytest.raises(UnknownNameError, match=r"value for `only`, but got 'error'. Did you mean `errors`"):
        fos.save_cell_views(bakery, matrix, only="error")
    with pytest.raises(ArgumentError, match="`min_count` to be an integer of at least 1, but got 0"):
        fos.save_cell_views(bakery, matrix, min_count=0)
    assert bakery.list_saved_views() == []
