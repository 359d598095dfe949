"""Do the numbers find a planted cue, leave clean models alone, and tell a real fix from one that is none?

Small networks are trained on drawn pictures whose coloured patch betrays the class with probability rho. All are
measured on the same pictures whose patch says nothing. The cue raises an alarm where its share of the evidence lies
surely above its area *and* hiding it changes the answer surely more often than hiding as much elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fiftyone as fo
import torch
from sklearn.metrics import roc_auc_score

import fiftyone_saliency as fos
from benchmarks import _cues as cues

TRAIN, TEST, PAIRS = 2000, 480, 10
# How many networks of each strength; each pair needs a biased one and a clean one.
SEEDS = {0.0: PAIRS, 0.5: 5, 0.9: 5, 1.0: PAIRS}
QUIET = {"batch_size": 120, "progress": False}


def measure(folder: Path) -> dict[str, Any]:
    """Train, measure, and judge pairs of before and after."""
    # Such small networks wait longer for a second thread than it helps.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    dataset = _test_set(folder / "cues")
    found = {rho: [_measured(dataset, rho, seed) for seed in range(count)] for rho, count in SEEDS.items()}
    again = [_measured(dataset, 1.0, seed, name="again") for seed in range(PAIRS // 2)]
    pairs = [_pair(dataset, found[1.0][i], found[0.0][i], True) for i in range(PAIRS)]
    # More of the same pictures, and an enrichment that leaves the cue in nine of ten.
    after = [*again, *found[0.9]]
    pairs += [_pair(dataset, found[1.0][i], after[i], False) for i in range(PAIRS)]
    for run in fos.list_runs(dataset):
        fos.delete_run(dataset, run.key)
    dataset.delete()
    torch.set_num_threads(threads)
    return {"pictures to train on": TRAIN, "pictures to measure on": TEST, **_summarised(found, pairs)}


def _test_set(folder: Path) -> fo.Dataset:
    dataset = fo.Dataset("planted cue", overwrite=True)
    dataset.mask_targets = {"regions": {0: "background", **cues.REGIONS}}
    rows = cues.write(cues.draw(TEST, 0.0, 9999), folder)
    dataset.add_samples(
        [
            fo.Sample(p, ground_truth=fo.Classification(label=label), regions=fo.Segmentation(mask_path=mask))
            for p, label, mask in rows
        ],
        progress=False,
    )
    return dataset


def _measured(dataset: fo.Dataset, rho: float, seed: int, name: str = "rho") -> dict[str, Any]:
    """Train one network, and measure where it looks and what it needs."""
    field = f"{name}_{round(100 * rho)}_{seed}"
    # Every network has pictures of its own.
    offset = 1000 if name == "again" else 0
    network = cues.train(cues.draw(TRAIN, rho, offset + seed), offset + seed)
    model = fos.load_model(network, cues.CLASSES, cues.transform())
    answers = f"answers_{field}"
    fos.predict(dataset, model, answers, **QUIET)
    fos.compute_saliency(dataset, model, field, pred_field=answers, **QUIET)
    cue = fos.region_shares(dataset, field, regions="regions")["cue"]
    hidden = fos.hide_region(dataset, model, "regions", "cue", pred_field=answers, **QUIET).flip_difference
    return {
        "field": field,
        "accuracy": fos.confusion(dataset, answers).accuracy,
        "cue": cue,
        "hidden": hidden,
        "alarm": bool(cue.low > cue.area and hidden.low > 0),
    }


def _pair(dataset: fo.Dataset, before: dict[str, Any], after: dict[str, Any], fixed: bool) -> dict[str, Any]:
    comparison = fos.compare_runs(
        dataset, before["field"], after["field"], regions="regions", should_fall=["cue"], should_rise=["object"]
    )
    word = comparison.verdict.word
    return {"before": before["field"], "after": after["field"], "verdict": word, "right": (word == "fixed") == fixed}


def _summarised(found: dict[float, list[dict[str, Any]]], pairs: list[dict[str, Any]]) -> dict[str, Any]:
    table = {
        f"rho {rho:g}": {
            "networks": len(rows),
            "accuracy": _mean(row["accuracy"] for row in rows),
            "share of evidence on the cue": _mean(row["cue"].mean for row in rows),
            "area of the cue": _mean(row["cue"].area for row in rows),
            "answers changed by hiding it, above chance": _mean(row["hidden"].mean for row in rows),
            "alarms": sum(row["alarm"] for row in rows),
        }
        for rho, rows in found.items()
    }
    shares = [row["share of evidence on the cue"] for row in table.values()]
    clean, cued = found[0.0], [*found[0.9], *found[1.0]]
    truth = [0] * len(clean) + [1] * len(cued)
    return {
        "by strength of the cue": table,
        "shares rise with the strength": shares == sorted(shares),
        "detection of rho >= 0.9, AUC of the share": roc_auc_score(truth, [r["cue"].mean for r in (*clean, *cued)]),
        "detection of rho >= 0.9, AUC of hiding": roc_auc_score(truth, [r["hidden"].mean for r in (*clean, *cued)]),
        "false alarms on clean networks": sum(row["alarm"] for row in clean) / len(clean),
        "right verdicts": f"{sum(pair['right'] for pair in pairs)} of {len(pairs)}",
        "pairs": pairs,
    }


def _mean(values: Any) -> float:
    values = list(values)
    return round(sum(values) / len(values), 4)
