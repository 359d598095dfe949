from __future__ import annotations

from dataclasses import dataclass

import pytest

from fiftyone_saliency.core import errors
from fiftyone_saliency.core.checks import bounded, bounds_of, check_bounds, check_choice, check_int, check_range
from fiftyone_saliency.core.errors import ArgumentError, SaliencyError, UnknownNameError, nearest

TREE = {
    "ArgumentError": ValueError,
    "UnknownNameError": ArgumentError,
    "FieldError": ValueError,
    "ModelError": ValueError,
    "ImageError": ValueError,
    "TargetError": ValueError,
    "RunConflictError": ValueError,
    "StorageError": OSError,
    "DatabaseError": ConnectionError,
    "StoppedError": RuntimeError,
    "MissingExtraError": ImportError,
}


def test_every_error_is_a_saliency_error_and_a_builtin_that_a_caller_would_catch():
    raised = {n: e for n, e in vars(errors).items() if isinstance(e, type) and issubclass(e, Exception)}
    found = {n: e for n, e in raised.items() if e is not SaliencyError}
    assert set(found) == set(TREE)
    for name, error in found.items():
        assert issubclass(error, SaliencyError)
        assert issubclass(error, TREE[name])


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("gradcam", ["grad_cam", "smooth_grad", "occlusion"], ["grad_cam"]),
        ("OCCLUSION", ["grad_cam", "occlusion"], ["occlusion"]),
        ("layer4.1.conv", ["layer4.1.conv2", "layer4.1.conv1", "fc"], ["layer4.1.conv1", "layer4.1.conv2"]),
        ("zzz", ["grad_cam"], []),
        ("zzz", [], []),
    ],
)
def test_nearest_offers_what_looks_alike(name, known, expected):
    assert sorted(nearest(name, known)) == expected


def test_an_unknown_name_offers_the_nearest_and_the_way_out():
    error = UnknownNameError("method", "gradcam", {"grad_cam", "occlusion"}, "See list_methods().")
    assert error.near == ["grad_cam"]
    assert str(error) == "Expected a known method, but got 'gradcam'. Did you mean `grad_cam`? See list_methods()."


def test_an_unknown_name_that_looks_like_nothing_lists_what_there_is():
    assert (
        str(UnknownNameError("method", "zzz", {"b", "a"}))
        == "Expected a known method, but got 'zzz'. Choose one of `a`, `b`."
    )
    assert str(UnknownNameError("run", "zzz", ())) == "Expected a known run, but got 'zzz'. No run is known yet."


def test_an_unknown_name_lists_twenty_names_and_counts_the_others():
    message = str(UnknownNameError("class", "zzz", [f"{i:02d}" for i in range(25)]))
    assert "`19` and 5 more." in message
    assert "`20`" not in message


@pytest.mark.parametrize("value", [0, 1, 0.5])
def test_check_range_accepts_its_bounds(value):
    check_range(value, "noise", 0, 1)


@pytest.mark.parametrize("value", [-0.001, 1.001, float("nan"), "0.5", None, True])
def test_check_range_refuses_the_rest(value):
    with pytest.raises(ArgumentError, match="Expected `noise` to be a number from 0 to 1, but got"):
        check_range(value, "noise", 0, 1)


def test_check_range_with_one_bound_says_that_one():
    with pytest.raises(ArgumentError, match="`noise` to be a number of at least 2, but got 1"):
        check_range(1, "noise", low=2)
    with pytest.raises(ArgumentError, match="`noise` to be a number of at most 2, but got 3"):
        check_range(3, "noise", high=2)
    check_range(2, "noise", low=2)
    check_range(2, "noise", high=2)


@pytest.mark.parametrize("value", [0, 1.0, True, "1", None])
def test_check_int_refuses_what_is_no_integer_of_the_range(value):
    with pytest.raises(ArgumentError, match="Expected `steps` to be an integer of at least 1, but got"):
        check_int(value, "steps", 1)


def test_check_int_accepts_its_bound():
    check_int(1, "steps", 1)


def test_check_choice_offers_the_nearest():
    check_choice("row", "by", ("row", "column"))
    with pytest.raises(UnknownNameError, match=r"value for `by`, but got 'colum'. Did you mean `column`"):
        check_choice("colum", "by", ("row", "column"))


@dataclass(frozen=True)
class Numbers:
    count: int = bounded(3, 1, 10)
    share: float = bounded(0.5, 0, 1)
    name: str = ""

    def __post_init__(self) -> None:
        check_bounds(self)


def test_numbers_declare_their_bounds_and_are_held_to_them():
    assert bounds_of(Numbers) == {"count": (1, 10), "share": (0, 1)}
    assert Numbers(count=10, share=1, name="x") == Numbers(10, 1.0, "x")
    with pytest.raises(ArgumentError, match="Expected `count` to be an integer of at most 10, but got 11"):
        Numbers(count=11)
    with pytest.raises(ArgumentError, match="Expected `share` to be a number from 0 to 1, but got inf"):
        Numbers(share=float("inf"))


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_range_with_an_open_end_is_of_finite_numbers(value):
    with pytest.raises(ArgumentError, match="`noise` to be a number of at least 0, but got"):
        check_range(value, "noise", low=0)
