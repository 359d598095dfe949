"""Whether a PNG is whole, and what became of a file since it was read."""

from __future__ import annotations

import os
import shutil

import cv2
import numpy as np
import pytest

from fiftyone_saliency.core.files import FileState, holds_whole_png, is_whole_png

PNG = cv2.imencode(".png", np.random.default_rng(51).integers(0, 255, (40, 60), np.uint8))[1].tobytes()


def test_a_png_cut_anywhere_is_not_whole():
    assert is_whole_png(PNG)
    assert not any(is_whole_png(PNG[:length]) for length in range(len(PNG)))


def test_a_png_with_any_byte_changed_is_not_whole():
    for place in range(len(PNG)):
        assert not is_whole_png(PNG[:place] + bytes([PNG[place] ^ 1]) + PNG[place + 1 :]), place


@pytest.mark.parametrize("data", [b"", b"\0" * len(PNG), PNG[:-12] + b"\0" * 12, b"\xff\xd8\xff\xe0JFIF", PNG[:8]])
def test_what_is_no_png_is_not_whole(data, tmp_path):
    path = tmp_path / "file.png"
    path.write_bytes(data)
    assert not holds_whole_png(path)


def test_a_file_that_is_not_there_is_not_whole(tmp_path):
    assert not any(map(holds_whole_png, [tmp_path / "none.png", tmp_path, "a\0b.png"]))


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.bmp"
    path.write_bytes(b"a" * 1000)
    return path


def same_time(path, state):
    os.utime(path, ns=(state.modified, state.modified))


def test_a_file_left_alone_is_the_same(picture):
    state = FileState.of(str(picture))
    assert state.since(str(picture)) == state.since(str(picture), reread=True) == "same"
    assert FileState.from_text(str(state)) == state


def test_a_file_that_was_touched_or_copied_is_the_same_content(picture, tmp_path):
    state = FileState.of(str(picture))
    os.utime(picture, ns=(1, 1))
    assert state.since(str(picture)) == "moved"
    copy = tmp_path / "copy.bmp"
    shutil.copy2(picture, copy)
    same_time(copy, state)
    assert state.since(str(copy)) == "moved"


def test_other_content_shows_by_size_and_by_time(picture):
    state = FileState.of(str(picture))
    picture.write_bytes(b"a" * 999)
    same_time(picture, state)
    assert state.since(str(picture)) == "changed"
    picture.write_bytes(b"b" * 1000)
    os.utime(picture, ns=(1, 1))
    assert state.since(str(picture)) == "changed"


def test_another_file_of_equal_size_and_time_shows_by_its_path(picture, tmp_path):
    """As the files of one archive have: uncompressed pictures are all of one size, and were written in one second."""
    state = FileState.of(str(picture))
    other = tmp_path / "other.bmp"
    other.write_bytes(b"b" * 1000)
    same_time(other, state)
    assert state.since(str(other)) == "changed"


def test_other_content_of_equal_size_time_and_path_shows_by_reading_it(picture):
    state = FileState.of(str(picture))
    picture.write_bytes(b"b" * 1000)
    same_time(picture, state)
    assert state.since(str(picture)) == "same"
    assert state.since(str(picture), reread=True) == "changed"


def test_a_file_that_is_gone_is_neither(picture):
    state = FileState.of(str(picture))
    picture.unlink()
    assert state.since(str(picture)) == "unreadable"
