"""The groceries story: an accurate classifier whose maps rest on the products, so that it is cleared.

Real photos of food that were never trained on, a network with real ImageNet weights, and the question that the
accuracy cannot answer: does it look at the product, or at the price tag beside it?
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fiftyone as fo

import fiftyone_saliency as fos
from examples import _for_app
from examples._dataset import new_dataset
from examples._text import indented
from examples.groceries import classifier, photos
from fiftyone_saliency.core.gate import Gate

DATASET = "groceries"
PRODUCT, TAG = "product", "price tag"
REGIONS = "regions"
# The tag covers 4.2 % of the pictures, the product 18 %: at most chance on the one, twice chance on the other.
LIMITS: dict[str, Any] = {
    "min_accuracy": 0.9,
    "min_share": {PRODUCT: 0.4},
    "max_share": {TAG: 0.04},
    "max_wrong_reason": 0.2,
}
Report = dict[str, Any]


def tell(folder: Path) -> tuple[fo.Dataset, Report]:
    """Tell the whole story; return its dataset and the numbers."""
    print("1. Fetch the photos, lay them on counters beside random price tags")
    rows = photos.write(folder / "pictures")
    dataset = build_dataset([row for row in rows if row.split == "test"])

    print("2. Train a head on EfficientNet-Lite0 with its ImageNet weights")
    path = folder / "classifier.pt"
    classifier.save(classifier.train(rows), path)
    fos.register_model("groceries", f"{_for_app.__file__}:groceries", path=str(path))

    print("3. Predict photos that were never trained on, and compute what drove each prediction")
    model = fos.load_model("groceries")
    fos.predict(dataset, model, progress=False)
    fos.evaluate(dataset, overwrite=True)
    print(f"   {fos.compute_saliency(dataset, model, progress=False)}")
    fos.show_heatmaps(dataset, labels=["ground_truth", "predictions"])

    matrix = fos.confusion(dataset)
    print(f"   {matrix}")
    fos.save_cell_views(dataset, matrix)

    print("4. Ask for the reasons, and whether they may be believed")
    print(indented(fos.reasons(dataset, regions=REGIONS, right=[PRODUCT])))
    print(indented(fos.check_trust(dataset, model, progress=False)))
    hidden = [fos.hide_region(dataset, model, REGIONS, name, progress=False) for name in (PRODUCT, TAG)]
    for one in hidden:
        print(f"   {one.region} hidden, answers that change: {one.flips}; as much elsewhere: {one.control_flips}")

    print("5. Hold them to the limits, and write the report")
    print(indented(clear(dataset)))
    page = fos.report(
        dataset, regions=REGIONS, right=[PRODUCT], hidden=hidden, out=folder / "report.html", overwrite=True
    )
    print(f"   {page.html}")
    return dataset, results(dataset)


def results(dataset: fo.Dataset) -> Report:
    """Measure accuracy and reasons, and hold them to the limits."""
    gate = clear(dataset)
    return measure(dataset) | {"gate": gate.to_json(), "cleared": gate.passed}


def clear(dataset: fo.Dataset) -> Gate:
    """Hold accuracy and reasons to what production demands."""
    return fos.gate(dataset, regions=REGIONS, right=[PRODUCT], **LIMITS)


def build_dataset(rows: list[photos.Row]) -> fo.Dataset:
    """Make the FiftyOne dataset of the test pictures, with exact regions."""
    dataset = new_dataset(DATASET)
    dataset.mask_targets = {"regions": dict(photos.REGIONS)}
    dataset.add_samples([_sample(row) for row in rows], progress=False)
    return dataset


def load(path: str) -> Any:
    """Load the trained classifier, ready to explain."""
    return fos.load_model(
        classifier.load(path),
        classes=photos.CLASSES,
        transform=classifier.build_transform(),
        layer=classifier.CAM_LAYER,
    )


def measure(dataset: fo.Dataset) -> Report:
    """Measure accuracy and shares of evidence."""
    matrix = fos.confusion(dataset)
    shares = fos.region_shares(dataset, regions="regions", by="class")
    worst = matrix.counts.top_confusions(1)
    return {
        "accuracy": matrix.accuracy,
        "worst_cell": None if not worst else matrix.cells[worst[0][0]].name,
        "share": {name: share.mean for name, share in shares.overall.items()},
        "area": {name: share.area for name, share in shares.overall.items()},
        "share_of_product_by_class": {str(c): by_region[PRODUCT].mean for c, by_region in shares.groups.items()},
    }


def worst_cell(dataset: fo.Dataset) -> Any:
    """Return the view of the cell with most mistakes, or the dataset if there is none."""
    matrix = fos.confusion(dataset)
    worst = matrix.counts.top_confusions(1)
    return matrix.cells[worst[0][0]].view() if worst else dataset


def show(report: Report) -> str:
    """Return the report as text."""
    lines = ["", f"accuracy on photos never trained on   {report['accuracy']:.3f}", ""]
    lines.append(f"{'':<22}{'evidence':>10}{'area':>10}{'ratio':>10}")
    for name, share in report["share"].items():
        area = report["area"][name]
        lines.append(f"{name:<22}" + "".join(_cell(value) for value in (share, area, _ratio(share, area))))
    lines += ["", "evidence on the product, by class"]
    lines += [f"  {name:<20}{_cell(share)}" for name, share in report["share_of_product_by_class"].items()]
    failed = [check["text"] for check in report["gate"]["checks"] if not check["passed"]]
    verdict = "CLEARED: every limit is kept" if report["cleared"] else "NOT CLEARED: " + "; ".join(failed)
    lines += ["", f"worst cell: {report['worst_cell'] or 'none'}", verdict, ""]
    return "\n".join(lines)


def _sample(row: photos.Row) -> fo.Sample:
    return fo.Sample(
        filepath=str(row.image),
        ground_truth=fo.Classification(label=row.label),
        product=row.product,
        regions=fo.Segmentation(mask_path=str(row.mask)),
    )


def _ratio(share: float | None, area: float | None) -> float | None:
    return None if share is None or not area else share / area


def _cell(value: float | None) -> str:
    return f"{'':>10}" if value is None else f"{value:>10.3f}"
