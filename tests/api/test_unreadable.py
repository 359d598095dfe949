"""One picture that cannot be read, even one made to fill the memory, costs nobody else anything, and is counted."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.api.side_by_side import pairs_url
from tests.models_for_tests import CLASSES, CROP, ColourNet, add_pictures

QUIET = {"progress": False, "num_workers": 2}
BAD = ("bomb.png", "announced.png", "cut.png", "empty.png", "text.png", "folder.png", "gone.png")


def write_png(path: Path, side: int, rows: int) -> None:
    """Write a black PNG of side × side that compresses to almost nothing; only so many rows are there."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(1)
    row = bytes(1 + side // 8)
    data = b"".join(packer.compress(row) for _ in range(rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


@pytest.fixture(scope="module")
def net():
    return fos.load_model(ColourNet(), CLASSES, CROP)


@pytest.fixture(scope="module")
def damaged(fo, pictures, net, tmp_path_factory):
    """Twelve pictures with maps; then the last seven files are damaged, each in its way."""
    folder = tmp_path_factory.mktemp("damaged")
    paths = [*pictures[:5], *(str(folder / name) for name in BAD)]
    for source, path in zip(pictures[5:], paths[5:], strict=True):
        Path(path).write_bytes(Path(source).read_bytes())
    seen = [CLASSES[i % 3] for i in range(12)]
    dataset = add_pictures(fo.Dataset(), paths, seen, seen)
    box = fo.Detection(label="square", bounding_box=[0.2, 0.2, 0.5, 0.5])
    dataset.set_values("boxes", [fo.Detections(detections=[box.copy()]) for _ in range(12)])
    fos.compute_saliency(dataset, net, **QUIET)
    # Its size in pixels is asked for where a region is a border of the image.
    fos.define_regions(dataset, "rim", {"rim": "border(0.2)"})
    whole = (folder / "cut.png").read_bytes()
    write_png(folder / "bomb.png", 20_000, 20_000)
    write_png(folder / "announced.png", 40_000, 1)
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no picture")
    (folder / "folder.png").unlink()
    (folder / "folder.png").mkdir()
    (folder / "gone.png").unlink()
    yield dataset
    dataset.delete()


def names(failures):
    return sorted(Path(failure.filepath).name for failure in failures)


@pytest.mark.parametrize("fill", ["blur", "swap"])
@pytest.mark.parametrize(("regions", "region"), [("boxes", "square"), ("rim", "rim")])
def test_hide_region(damaged, net, regions, region, fill):
    found = fos.hide_region(damaged, net, regions, region, fill=fill, controls=1, **QUIET)
    assert set(names(found.failures)) == set(BAD)
    assert [row is None for row in found.rows][5:] == [True] * 7
    if fill == "blur":
        assert [row is None for row in found.rows][:5] == [False] * 5


def test_predict_and_compute(damaged, net):
    assert names(fos.predict(damaged, net, "again", **QUIET)) == sorted(BAD)
    run = fos.compute_saliency(damaged, net, "again_map", **QUIET)
    assert (run.counts.done, names(run.failures)) == (5, sorted(BAD))


def test_embed(damaged, net):
    for part in ("image", "salient"):
        found = fos.embed(damaged, net, part, num_workers=2)
        assert (len(found), names(found.failures)) == (5, sorted(BAD))


def test_embeddings_name_the_samples_without_a_map(damaged, net, fo):
    view = damaged.limit(5)
    damaged.add_sample_field("none_yet", fo.EmbeddedDocumentField, embedded_doc_type=fo.Heatmap)
    found = fos.embed(view, net, "salient", field="none_yet", num_workers=2)
    assert (len(found), [failure.kind for failure in found.failures]) == (0, ["skip"] * 5)
    assert "no map" in found.failures[0].reason


def test_trust_and_faithfulness(damaged, net):
    trust = fos.check_trust(damaged, net, count=12, stages=1, draws=1, **QUIET)
    assert trust.failed == 7
    assert "7 drawn samples failed" in str(trust)
    assert fos.load_run(damaged, "saliency").trust == trust
    found = fos.faithfulness(damaged, net, count=12, steps=2, **QUIET)
    assert names(found.failures) == sorted(BAD)
    assert (found["deletion"].summary.n, found.to_json()["failed"]) == (5, 7)


@pytest.mark.parametrize("regions", ["boxes", "rim"])
def test_maps_are_measured_without_their_pictures(damaged, regions):
    assert len(fos.measure(damaged, regions=regions, store=False)) == 12
    assert fos.region_shares(damaged, regions=regions).overall
    assert fos.reasons(damaged, regions=regions).evidence.ids == damaged.values("id")


def test_mean_maps_and_clusters(damaged):
    mean = fos.mean_map(damaged)
    assert (mean.n, mean.unread) == (12, 7)
    fos.cluster_maps(damaged)


def test_report_and_pairs(damaged, tmp_path):
    fos.report(damaged, regions="rim", out=tmp_path / "report.html")
    assert pairs_url(damaged.limit(6), "saliency", "saliency") is not None
    assert pairs_url(damaged.skip(5), "saliency", "saliency") is None


def test_second_pass_and_plan(damaged, net):
    evidence = fos.second_pass(damaged, net, regions="boxes")
    assert [e is None for e in evidence.predictions] == [False] * 5 + [True] * 7
    plan = fos.plan_enrichment(
        damaged.limit(5), regions="boxes", right=["background"], pool=damaged.skip(5), model=net, known=damaged.limit(1)
    )
    assert plan.left_out.get("without embedding", 7) == 7


@pytest.mark.parametrize("masks", [False, True])
def test_export(damaged, fo, tmp_path, masks):
    manifest = fos.export_for_retraining(damaged, tmp_path / "out", tags=None, masks=masks, regions="rim")
    assert sorted(Path(left["source"]).name for left in manifest["left_out"]) == ["empty.png", "folder.png", "gone.png"]
    fos.load_export(tmp_path / "out").delete()


def test_maps_and_masks_that_are_bombs(dataset, pictures, fo, tmp_path):
    """OpenCV raises at more than 2**30 pixels."""
    write_png(tmp_path / "announced.png", 40_000, 1)
    add_pictures(dataset, pictures[:2], ["red", "green"], ["red", "green"])
    bomb = str(tmp_path / "announced.png")
    dataset.set_values("saliency", [fo.Heatmap(map_path=bomb), fo.Heatmap(map=np.eye(4, dtype=np.float32))])
    dataset.set_values("parts", [fo.Segmentation(mask=np.eye(4, dtype=np.uint8)), fo.Segmentation(mask_path=bomb)])
    assert fos.mean_map(dataset).undefined == 1
    fos.region_shares(dataset, regions="parts")
