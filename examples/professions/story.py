"""The professions story: an accurate model that looked at heads, and what it took to make it look at uniforms.

Train on pictures where each profession has its own head, see in the confusion matrix and the maps what the model
learned, measure it, tag its mistakes and what a plan finds to be missing, export both, train again, and judge whether
that fixed it.
A control does the same with pictures that add nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fiftyone as fo

import fiftyone_saliency as fos
from examples import _for_app
from examples._dataset import new_dataset
from examples._text import indented
from examples.professions import network, pictures

DATASET = "professions"
TAG = "enrich"
RIGHT = ["uniform"]
STATES = ("before", "after", "control")
Table = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Example:
    """A picture to train on."""

    image: str
    profession: str


@dataclass(frozen=True)
class Bed:
    """The pictures of the story.

    Attributes:
        biased: What the first model is trained on: each profession has its own head.
        paired: Test pictures of the same kind.
        shuffled: Test pictures whose heads tell nothing.
        live: Pictures from live use, heads shuffled: where the mistakes are found.
        stock: Pictures with every head, also ones that were never seen: what there is to enrich from.
        same: More pictures of the first kind: what a wrong enrichment adds.
    """

    biased: list[pictures.Row]
    paired: list[pictures.Row]
    shuffled: list[pictures.Row]
    live: list[pictures.Row]
    stock: list[pictures.Row]
    same: list[pictures.Row]


def tell(folder: Path) -> tuple[fo.Dataset, Table]:
    """Tell the whole story; return its dataset and the table of before, after and the control."""
    print("1. Draw the pictures")
    bed = draw(folder)
    dataset = build_dataset(bed)

    print("2. Train on pictures where every profession has its own head; look at what the model looks at")
    train(folder / "before.pt", bed.biased)
    explain(dataset, folder / "before.pt", "predictions", "saliency", "before")

    test = dataset.match_tags("shuffled")

    print("3. Ask for the reasons, on pictures whose heads tell nothing")
    print(indented(fos.reasons(test, regions="regions", right=RIGHT)))
    model = fos.load_model("professions-before")
    print(indented(fos.check_trust(test, model, progress=False)))
    for region in ("head", "uniform"):
        hidden = fos.hide_region(test, model, "regions", region, batch_size=64, progress=False)
        print(f"   {region} hidden, answers that change: {hidden.flips}; as much elsewhere: {hidden.control_flips}")

    print("4. Open the matrix of the pictures from live use, save and tag its cells of mistakes")
    live = dataset.match_tags("live")
    matrix = fos.confusion(live, "predictions")
    print(f"   {matrix}")
    names = fos.save_cell_views(live, matrix, only="errors", min_count=5)
    tagged = sum(fos.tag_cell(cell, TAG) for cell in matrix.cells.values() if cell.is_error)
    print(f"   {len(names)} cells saved as views, {tagged} samples tagged")

    print("5. Plan what else is needed, tag what the stock has of it, and export all that is tagged")
    stock = dataset.match_tags("stock")
    plan = fos.plan_enrichment(live, regions="regions", right=RIGHT, pool=stock, model=model)
    print(indented(plan, most=8))
    print(f"   {plan.apply(TAG)} samples of the stock tagged")
    exported = export(dataset, folder / "retraining")
    print(f"   {len(exported)} samples exported to {folder / 'retraining'}")

    seen = dataset.match_tags("stock", bool=False)
    print("6. Train again, with the exported samples added; look again")
    train(folder / "after.pt", [*bed.biased, *exported])
    explain(seen, folder / "after.pt", "predictions_after", "saliency_after", "after")
    print(indented(compare(dataset, "saliency_after").verdict))

    print("7. The control: train again with as many more pictures of the first kind")
    train(folder / "control.pt", [*bed.biased, *bed.same])
    explain(seen, folder / "control.pt", "predictions_control", "saliency_control", "control")
    print(indented(compare(dataset, "saliency_control").verdict))
    fos.show_heatmaps(dataset, fields=["saliency"], labels=["ground_truth", "predictions"])
    return dataset, results(dataset)


def results(dataset: fo.Dataset) -> Table:
    """Measure the first model and the two that came after it, and judge those."""
    return {
        "before": measure(dataset, "saliency"),
        "after": measure(dataset, "saliency_after") | _words(dataset, "saliency_after"),
        "control": measure(dataset, "saliency_control") | _words(dataset, "saliency_control"),
    }


def draw(folder: Path) -> Bed:
    """Draw the pictures, or read what an earlier run has drawn."""
    every_head = (*pictures.HEADS, *pictures.EXTRA_HEADS)
    return Bed(
        biased=pictures.write(folder / "biased", 2000, bias=1.0, seed=1),
        paired=pictures.write(folder / "paired", 400, bias=1.0, seed=3),
        shuffled=pictures.write(folder / "shuffled", 400, bias=0.0, seed=4),
        live=pictures.write(folder / "live", 1200, bias=0.0, seed=5),
        stock=pictures.write(folder / "stock", 1600, bias=0.0, seed=6, heads=every_head),
        same=pictures.write(folder / "same", 2200, bias=1.0, seed=7),
    )


def build_dataset(bed: Bed) -> fo.Dataset:
    """Make the FiftyOne dataset: test pictures, live pictures and stock, with professions, heads and exact regions."""
    dataset = new_dataset(DATASET)
    parts = {"paired": bed.paired, "shuffled": bed.shuffled, "live": bed.live, "stock": bed.stock}
    samples = [_sample(row, tag) for tag, rows in parts.items() for row in rows]
    dataset.mask_targets = {"regions": dict(pictures.REGIONS)}
    dataset.add_samples(samples, progress=False)
    return dataset


def train(path: Path, examples: Sequence[Any]) -> None:
    """Train a network and save it, then give it a name that the App's form offers."""
    network.save(network.train(examples, report=lambda line: print(f"   {line}")), path)
    fos.register_model(f"professions-{path.stem}", f"{_for_app.__file__}:professions", path=str(path))


def load(path: str) -> Any:
    """Load a trained network, ready to explain."""
    return fos.load_model(
        network.load(path), classes=pictures.PROFESSIONS, transform=network.build_transform(), layer=network.CAM_LAYER
    )


def explain(samples: Any, path: Path, pred_field: str, field: str, eval_key: str) -> None:
    """Predict, evaluate, and compute what drove each prediction."""
    model = fos.load_model(f"professions-{path.stem}")
    fos.predict(samples, model, pred_field, batch_size=64, progress=False)
    fos.evaluate(samples, pred_field, eval_key=eval_key, overwrite=True)
    run = fos.compute_saliency(samples, model, field, pred_field=pred_field, batch_size=64, progress=False)
    print(f"   {run}")


def export(samples: Any, folder: Path) -> list[Example]:
    """Export the tagged samples, and read back what a training script would read."""
    shutil.rmtree(folder, ignore_errors=True)
    fos.export_for_retraining(samples, folder, tags=TAG)
    exported = fos.load_export(folder)
    examples = [Example(s.filepath, s.ground_truth.label) for s in exported]
    exported.delete()
    return examples


def compare(dataset: fo.Dataset, after: str) -> Any:
    """Compare a retrained model with the first one, on the pictures whose heads tell nothing."""
    test = dataset.match_tags("shuffled")
    return fos.compare_runs(test, "saliency", after, regions="regions", should_fall=["head"], should_rise=["uniform"])


def measure(dataset: fo.Dataset, field: str) -> dict[str, float | None]:
    """Measure accuracy and the shares of evidence of one model, on the test pictures."""
    pred_field = fos.load_run(dataset, field).request.pred_field
    accuracy = {tag: fos.confusion(dataset.match_tags(tag), pred_field).accuracy for tag in ("paired", "shuffled")}
    shares = fos.region_shares(dataset.match_tags(["paired", "shuffled"]), field, regions="regions")
    numbers = {f"accuracy_{tag}": value for tag, value in accuracy.items()}
    numbers |= {f"share_{name}": shares[name].mean for name in ("head", "uniform", "background")}
    return numbers | {f"area_{name}": shares[name].area for name in ("head", "uniform", "background")}


def show(table: Table) -> str:
    """Return the table as text."""
    rows = (
        ("accuracy, heads as in training", "accuracy_paired"),
        ("accuracy, heads shuffled", "accuracy_shuffled"),
        ("evidence on the head", "share_head"),
        ("evidence on the uniform", "share_uniform"),
        ("evidence on the background", "share_background"),
    )
    lines = ["", f"{'':<34}" + "".join(f"{state:>10}" for state in (*STATES, "area"))]
    for title, key in rows:
        area = table["before"].get(key.replace("share_", "area_")) if key.startswith("share_") else None
        lines.append(f"{title:<34}" + "".join(_cell(v) for v in (*(table[state][key] for state in STATES), area)))
    heads = [_ratio(table[state]["share_head"], table[state]["share_uniform"]) for state in STATES]
    lines.append(f"{'head / (head + uniform)':<34}" + "".join(_cell(v) for v in heads))
    lines += ["", "Area is the share of the picture: what a map without preference would score."]
    for state, what in (("after", "enriched with other heads"), ("control", "more of the same pictures")):
        found = table[state]
        lines.append(f"{what}: {found['verdict']} (reason {found['reason']}, accuracy {found['accuracy']})")
    return "\n".join([*lines, ""])


def _words(dataset: fo.Dataset, after: str) -> dict[str, str | None]:
    verdict = compare(dataset, after).verdict
    axes = {"reason": verdict.reason, "accuracy": verdict.accuracy}
    return {"verdict": verdict.word} | {name: None if axis is None else axis.word for name, axis in axes.items()}


def _sample(row: pictures.Row, tag: str) -> fo.Sample:
    return fo.Sample(
        filepath=str(row.image),
        tags=[tag],
        ground_truth=fo.Classification(label=row.profession),
        head=fo.Classification(label=row.head),
        regions=fo.Segmentation(mask_path=str(row.mask)),
    )


def _ratio(part: float | None, rest: float | None) -> float | None:
    return None if part is None or rest is None or part + rest == 0 else part / (part + rest)


def _cell(value: float | None) -> str:
    return f"{'':>10}" if value is None else f"{value:>10.3f}"
