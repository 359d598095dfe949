"""Every label has a folder of its own, on every system, and can be told from its name."""

from __future__ import annotations

import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiftyone_saliency.core.folder_names import folder_names

# What Windows refuses, or takes for another name.
WINDOWS = set('<>:"/\\|?*') | {chr(i) for i in range(32)}


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("red", "red"),
        ("two words", "two words"),
        ("日本", "日本"),
        ("dog/poodle", "dog%2Fpoodle"),
        ("dog\\poodle", "dog%5Cpoodle"),
        ("/m/01g317", "%2Fm%2F01g317"),
        ("..", "%2E%2E"),
        ("../x", "%2E.%2Fx"),
        (".hidden", "%2Ehidden"),
        ("50%", "50%25"),
        ("con", "%63on"),
        ("Com1.txt", "%43om1.txt"),
        ("console", "console"),
        ("end ", "end%20"),
        ("end.", "end%2E"),
        ("_unlabeled", "%5Funlabeled"),
        ("a:b?", "a%3Ab%3F"),
        ("line\nbreak", "line%0Abreak"),
        ("", "%"),
    ],
)
def test_a_label_stands_in_its_name(label, name):
    assert folder_names([label]) == {label: name}
    assert unquote(name) == (label or "%")


def test_labels_that_differ_in_case_alone_have_folders_of_their_own():
    composed, decomposed = "caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")
    names = folder_names(["Dog", "dog", composed, decomposed])
    assert names["Dog"] == "Dog"
    assert names["dog"] == "%64%6F%67"
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names.values()}) == 4
    assert {unquote(name): name for name in names.values()} == names


labels = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), max_size=8)


@given(labels)
def test_names_are_distinct_valid_and_bring_the_labels_back(labels):
    names = folder_names(labels)
    assert set(names) == set(labels)
    assert len({unicodedata.normalize("NFC", name.casefold()) for name in names.values()}) == len(names)
    for label, name in names.items():
        assert name
        assert not set(name) & WINDOWS
        assert not name.startswith(".")
        assert name[-1] not in ". "
        assert label == "" or unquote(name) == label


def test_long_labels_are_cut_and_stay_distinct():
    names = folder_names(["x" * 5000, "x" * 5001, "日" * 300])
    assert len(set(names.values())) == 3
    assert max(len(name.encode()) for name in names.values()) <= 200
