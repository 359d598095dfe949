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
from examples.groceries import classifier, photos

DATASET = "groceries"
PRODUCT, TAG = "product", "price tag"
LEAST_PRODUCT, MOST_TAG = 1.5, 1.0
"""The clearance: evidence on the product at least 1.5 times its area, on the tag not more than its area."""
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
    return dataset, measure(dataset)


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
    """Measure accuracy, shares of evidence and the verdict."""
    matrix = fos.confusion(dataset)
    shares = fos.region_shares(dataset, regions="regions", by="class")
    ratios = {name: _ratio(share.mean, share.area) for name, share in shares.overall.items()}
    worst = matrix.counts.top_confusions(1)
    return {
        "accuracy": matrix.accuracy,
        "worst_cell": None if not worst else matrix.cells[worst[0][0]].name,
        "share": {name: share.mean for name, share in shares.overall.items()},
        "area": {name: share.area for name, share in shares.overall.items()},
        "share_of_product_by_class": {str(c): by_region[PRODUCT].mean for c, by_region in shares.groups.items()},
        "cleared": (ratios[PRODUCT] or 0) >= LEAST_PRODUCT and (ratios[TAG] or 0) <= MOST_TAG,
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
    verdict = "CLEARED" if report["cleared"] else "NOT CLEARED"
    rule = f"evidence on the product at least {LEAST_PRODUCT} × its area, on the price tag at most its area"
    lines += ["", f"{verdict}: {rule}", f"worst cell: {report['worst_cell'] or 'none'}", ""]
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
