"""A report: a page that stands alone and breaks nowhere, and a file with the numbers of `reasons`."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.api._report_html import render
from fiftyone_saliency.api._report_pictures import Album
from fiftyone_saliency.core.errors import ArgumentError, RunConflictError, UnknownNameError
from tests.reasoned import EVIL, make, trust

AFTER = {"field": "saliency_after", "regions": "regions", "right": ["square"], "pred_field": "after"}


class Page(HTMLParser):
    """What stands in a page: its elements, its text, and what it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.texts: list[str] = []
        self.fetched: list[str] = []
        self.images = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.images += tag == "img"
        self.fetched += [v for name, v in attrs if name in ("src", "href", "srcset", "data") and v is not None]

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def made(fo, pictures):
    dataset = make(pictures)
    yield dataset
    dataset.delete()


@pytest.fixture
def dataset(made):
    """The dataset as it was made: nobody checked its maps."""
    yield made
    trust(made, "saliency_after", None)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "new folder" / "report.html"


def test_the_numbers_are_those_of_reasons_in_full(dataset, out):
    report = fos.report(dataset, **AFTER, out=out)
    found = fos.reasons(dataset, **AFTER)
    written = json.loads(report.json.read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(report.data))
    assert written["reasons"] == json.loads(json.dumps(found.to_json()))
    assert (report.html, report.json) == (out, out.with_suffix(".json"))
    assert written["accuracy"]["mean"] == pytest.approx(11 / 12)
    assert (written["accuracy"]["n"], written["schema_version"], written["settings"]["seed"]) == (12, 1, 51)
    run = fos.load_run(dataset, "saliency_after")
    assert (written["run"]["key"], written["run"]["request"]) == (run.key, run.request.to_json())
    assert written["versions"]["fiftyone-saliency"] == fos.__version__


def test_the_page_shows_the_numbers_and_asks_for_nothing(dataset, out):
    """With the background as the right region, every cell is one of the worst and comes with pictures."""
    report = fos.report(dataset, **AFTER | {"right": ["background"]}, out=out)
    text = report.html.read_text(encoding="utf-8")
    page, share = Page(text), report.data["reasons"]["overall"]["shares"]["square"]
    assert f"{share['mean'] * 100:.1f} %" in page.text
    assert f"{share['low'] * 100:.1f}–{share['high'] * 100:.1f} %" in page.text
    assert "What this cannot tell" in page.text
    assert page.fetched != []
    assert all(url.startswith("data:image/jpeg;base64,") for url in page.fetched)
    assert not re.search(r"https?://|@import|url\(", text)
    assert set(page.elements).isdisjoint({"script", "link", "iframe", "object"})


def test_labels_cannot_break_out_of_the_page(dataset, out):
    page = Page(fos.report(dataset, **AFTER, out=out).html.read_text(encoding="utf-8"))
    assert EVIL in page.text
    assert "script" not in page.elements


def test_two_reports_of_one_state_differ_in_their_date_alone(dataset, tmp_path):
    one, other = (fos.report(dataset, **AFTER, out=tmp_path / f"{name}.html").data for name in "ab")
    assert {k: v for k, v in one.items() if k != "created"} == {k: v for k, v in other.items() if k != "created"}


def test_the_worst_cells_come_with_pictures_and_a_mean_map(dataset, out):
    """Of the cells of mistakes, (green, red) and (blue, red) are named first; all pictures are red in prediction."""
    report = fos.report(dataset, regions="regions", cells=2, pictures=3, out=out)
    worst = report.data["worst_cells"]
    assert [(cell["truth"], cell["prediction"]) for cell in worst] == [("blue", "red"), ("green", "red")]
    for cell in worst:
        in_cell = fos.confusion(dataset).cells[cell["truth"], "red"].view().values("id")
        assert {sample["id"] for sample in cell["samples"]} <= set(in_cell)
        assert len(cell["samples"]) == 3
        assert cell["mean_map"] == {"n": 0, "undefined": 4}, "there is no evidence for red in them"
    assert Page(report.html.read_text(encoding="utf-8")).images == 2 * 3 * 2
    assert worst != fos.report(dataset, regions="regions", cells=2, pictures=3, out=out, seed=1, overwrite=True).data


def test_before_and_after_is_the_comparison_of_the_runs(dataset, out):
    report = fos.report(dataset, regions="regions", right=["square"], compare_with="saliency_after", out=out)
    compared = fos.compare_runs(dataset, "saliency", "saliency_after", regions="regions", should_rise=["square"])
    assert report.data["comparison"] == json.loads(json.dumps(compared.to_json()))
    assert "Before and after" in Page(report.html.read_text(encoding="utf-8")).text


def test_what_hiding_found_is_told_where_it_is_handed_in(dataset, model, out):
    hidden = fos.hide_region(dataset, model, "regions", "square", pred_field="after", progress=False, num_workers=1)
    report = fos.report(dataset, **AFTER, hidden=[hidden], out=out)
    assert report.data["hidden"] == [json.loads(json.dumps(hidden.to_json()))]
    text = Page(report.html.read_text(encoding="utf-8")).text
    assert "Hidden regions" in text
    assert f"{hidden.flips.mean * 100:.1f} %" in text


def test_what_was_checked_of_a_run_is_told_from_its_record(dataset, model, out):
    """Nobody should have to keep the results of an hour's work in a variable until the report is written."""
    quiet = {"progress": False, "num_workers": 1}
    hidden = fos.hide_region(dataset, model, "regions", "square", pred_field="after", run="saliency_after", **quiet)
    faithful = fos.faithfulness(dataset, model, "saliency_after", count=2, **quiet)
    run = fos.load_run(dataset, "saliency_after")
    assert run.hidden == (hidden.to_json(),)
    assert run.faithfulness == faithful.to_json()
    fos.hide_region(dataset, model, "regions", "square", pred_field="after", run="saliency_after", **quiet)
    assert len(fos.load_run(dataset, "saliency_after").hidden) == 1, "the last result takes the place of one like it"

    report = fos.report(dataset, **AFTER, out=out)

    assert report.data["hidden"] == [json.loads(json.dumps(hidden.to_json()))]
    text = Page(report.html.read_text(encoding="utf-8")).text
    assert "Hidden regions" in text
    assert "deletion: " in text


def test_verdicts_are_withheld_where_the_maps_failed_a_check(dataset, out):
    wrong = AFTER | {"right": ["background"], "out": out, "overwrite": True}
    unchecked = Page(fos.report(dataset, **wrong).html.read_text(encoding="utf-8")).text
    assert "The maps were not checked" in unchecked
    assert "· right reason 0.0 %" in unchecked
    assert "withheld" not in unchecked
    reason = trust(dataset, "saliency_after", passed=False)
    failed = fos.report(dataset, **wrong, compare_with="saliency")
    text = Page(failed.html.read_text(encoding="utf-8")).text
    assert failed.data["withheld"] == reason
    assert f"randomisation: failed. {reason}" in text
    assert "Before and after: verdict withheld" in text
    assert "· right reason" not in text
    trust(dataset, "saliency_after", passed=True)
    passed = Page(fos.report(dataset, **wrong).html.read_text(encoding="utf-8")).text
    assert "The maps passed their checks" in passed
    assert "· right reason 0.0 %" in passed


def test_an_earlier_report_is_not_replaced_unless_asked(dataset, out):
    fos.report(dataset, **AFTER, out=out)
    before = out.read_bytes()
    with pytest.raises(RunConflictError, match=r"report\.html exists. Choose another or allow overwriting"):
        fos.report(dataset, **AFTER, out=out)
    out.unlink()
    with pytest.raises(RunConflictError, match=r"report\.json exists"):
        fos.report(dataset, **AFTER, out=out)
    assert not out.exists()
    fos.report(dataset, **AFTER, out=out, overwrite=True)
    assert sorted(path.name for path in out.parent.iterdir()) == ["report.html", "report.json"]
    assert len(out.read_bytes()) == len(before)


@pytest.mark.parametrize("suffix", [".html", ".json", ".html.part", ".json.part"])
@pytest.mark.parametrize("mine", ['{"name": "my-package"}', "", "folder", "link"])
def test_no_file_of_somebody_else_is_ever_replaced(dataset, out, suffix, mine):
    """A package's page may lie beside its package.json."""
    out = out.with_name("package.html")
    out.parent.mkdir()
    path = out.with_name(f"package{suffix}")
    if mine == "folder":
        path.mkdir()
    elif mine == "link":
        path.symlink_to("nowhere")
    else:
        path.write_text(mine)
    if suffix in (".html", ".json"):
        with pytest.raises(RunConflictError, match=rf"package\{suffix} exists and is none. Choose another name"):
            fos.report(dataset, **AFTER, out=out, cells=0, overwrite=True)
        assert os.listdir(out.parent) == [path.name]
    else:
        fos.report(dataset, **AFTER, out=out, cells=0, overwrite=True)
        assert sorted(os.listdir(out.parent)) == sorted(["package.html", "package.json", path.name])
    if mine not in ("folder", "link"):
        assert path.read_text() == mine


def test_a_place_below_a_file_is_refused(dataset, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ArgumentError, match=r"`out` to lie in a folder, but .*file is none"):
        fos.report(dataset, **AFTER, out=tmp_path / "file" / "report.html")


def test_a_report_that_cannot_be_written_leaves_nothing_half_done(dataset, out, monkeypatch):
    """The disk is full as the page's own text is written: what was there stays as it was."""
    before = fos.report(dataset, **AFTER, out=out)
    texts = [path.read_bytes() for path in (before.html, before.json)]
    monkeypatch.setattr("fiftyone_saliency.api.report.render", lambda *_: "\ud800 cannot be encoded")
    with pytest.raises(UnicodeEncodeError):
        fos.report(dataset, **AFTER, out=out, overwrite=True)
    assert [path.read_bytes() for path in (before.html, before.json)] == texts
    assert sorted(os.listdir(out.parent)) == ["report.html", "report.json"]


def test_images_and_maps_that_are_gone_are_told(dataset, out):
    clone = dataset.clone()
    clone.set_values("filepath", [f"/nowhere/{i}.png" for i in range(12)])
    text = Page(fos.report(clone, regions="regions", out=out).html.read_text(encoding="utf-8")).text
    clone.delete()
    assert "no image" in text
    assert "no map" in text


def test_pictures_beyond_the_budget_are_left_out_and_counted(dataset, out):
    report = fos.report(dataset, **AFTER | {"right": ["background"]}, out=out)
    album = Album(budget=0)
    album.add("one", ("one", np.zeros((8, 8, 3), np.uint8)))
    page = Page(render(report.data, album))
    assert page.images == 0
    assert "1 pictures are left out" in page.text


@pytest.mark.parametrize("count", [1, 2, 10, 80])
def test_a_matrix_of_any_size_says_what_it_hides(count):
    """Up to 50 labels are drawn, those with most mistakes."""
    from fiftyone_saliency.api._report_html import layout_matrices
    from fiftyone_saliency.core.evidence import Evidence
    from fiftyone_saliency.core.reasons import find_reasons

    truths = [f"class {i:02d}" for i in range(count)] * 2
    predictions = truths[1:] + truths[:1]
    shares = {"in": [0.9] * len(truths), "out": [0.1] * len(truths)}
    areas = {"in": [0.5] * len(truths), "out": [0.5] * len(truths)}
    ids = [str(i) for i in range(len(truths))]
    found = find_reasons(Evidence("saliency", "regions", ids, truths, predictions, shares, areas)).to_json()
    drawn = layout_matrices(found)
    assert (len(drawn["labels"]), drawn["hidden"]) == (min(count, 50), max(0, count - 50))
    assert max(square["column"] for square in drawn["reasons"]) < len(drawn["labels"])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"out": "report.pdf"}, ArgumentError, "`out` to end in .html"),
        ({"cells": -1}, ArgumentError, "`cells`"),
        ({"pictures": 1.5}, ArgumentError, "`pictures`"),
        ({"right": ["squares"]}, UnknownNameError, "Did you mean `square`"),
        ({"compare_with": "saliency_afer"}, UnknownNameError, "Did you mean `saliency_after`"),
    ],
)
def test_bad_arguments_are_refused_and_nothing_is_written(dataset, out, arguments, error, message):
    with pytest.raises(error, match=message):
        fos.report(dataset, **AFTER | {"out": out} | arguments)
    assert not out.parent.exists()
