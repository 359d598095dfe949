"""What is typed in the App leads nowhere but into the folders that the server allows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.dataset.folders import FOLDERS, allowed_folders, require_allowed


@pytest.fixture
def allowed(tmp_path, monkeypatch):
    """Two folders that are allowed, beside one that is not and to which a link leads from within."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in (*folders, tmp_path / "secret"):
        folder.mkdir()
    (folders[0] / "link").symlink_to(tmp_path / "secret")
    (folders[0] / "loop").symlink_to(folders[0] / "loop")
    monkeypatch.setenv(FOLDERS, os.pathsep.join(map(str, folders)))
    return tmp_path


@pytest.mark.parametrize("name", ["one", "one/new/report.html", "two/../one/new", "two/x"])
def test_what_lies_inside_comes_back_resolved(allowed, name):
    assert require_allowed(str(allowed / name), "out") == (allowed / name).resolve()


@pytest.mark.parametrize(
    "name",
    ["", "secret", "one/../secret/x", "one/link", "one/link/new/report.html", "one-more", "one/../..", "/etc/passwd"],
)
def test_what_lies_outside_is_refused(allowed, name):
    with pytest.raises(ArgumentError, match=rf"Expected `out` to lie in {allowed}/one or {allowed}/two, but got"):
        require_allowed(f"{allowed}/{name}" if not name.startswith("/") else name, "out")


@pytest.mark.parametrize(
    "path", ["report.html", "", "   ", None, 5, ["/tmp"], "/tmp/a\0b", "/tmp/" + "x" * 5000, "~nobody-of-that-name/x"]
)
def test_what_is_no_full_path_is_refused_in_our_words(allowed, path):
    with pytest.raises(ArgumentError, match="Expected `out` to be a"):
        require_allowed(path, "out")


def test_a_loop_of_links_is_refused(allowed):
    with pytest.raises(ArgumentError):
        require_allowed(str(allowed / "one" / "loop" / "x"), "out")


def test_the_default_is_the_folder_of_datasets_and_an_empty_list_allows_nothing(fo, monkeypatch):
    monkeypatch.delenv(FOLDERS)
    assert allowed_folders() == [Path(fo.config.default_dataset_dir).resolve()]
    monkeypatch.setenv(FOLDERS, "")
    with pytest.raises(ArgumentError, match="allowed, of which there is none"):
        require_allowed("/tmp/x", "out")
