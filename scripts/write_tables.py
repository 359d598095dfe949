"""`python -m scripts.write_tables`: renew the tables of the README, from the registries and the measured results."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fiftyone_saliency.methods._registry import FAMILIES, list_methods
from fiftyone_saliency.models.load import SOURCES

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"


def main() -> None:
    """Write the tables in place."""
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")


def renewed(text: str) -> str:
    """Return the README with its tables as the registries have them now."""
    for name, table in _TABLES.items():
        start, end = f"<!-- {name}: written by `make tables` -->", f"<!-- end of {name} -->"
        text, count = re.subn(f"{re.escape(start)}.*?{re.escape(end)}", f"{start}\n{table()}\n{end}", text, flags=re.S)
        if count != 1:
            raise SystemExit(f"Expected {README.name} to hold one table between {start} and {end}, but got {count}.")
    return text


def _methods() -> str:
    shown = [info for info in list_methods().values() if not info.hidden]
    rows = ["| method | | what it does |", "|---|---|---|"]
    for family, what in FAMILIES.items():
        members = [info for info in shown if info.family == family]
        rows += [f"| **{family}** | | *{what}* |"] if members else []
        for info in members:
            mark = "" if info.evidence else " †"
            rows.append(f"| `{info.name}` | [{info.title}]({info.paper}){mark} | {info.summary} |")
    return "\n".join(rows)


def _models() -> str:
    rows = ["| from | what `load_model` takes | extra |", "|---|---|---|"]
    rows += [f"| {s.title} | {s.accepts} | {f'`{s.extra}`' if s.extra else ''} |" for s in SOURCES]
    return "\n".join(rows)


def _speed() -> str:
    grad_cam, targets, occlusion = _measured("grad_cam"), _measured("targets"), _measured("occlusion")
    rise, overhead, memory = _measured("rise"), _measured("overhead"), _measured("memory")
    shares = _measured("region_shares")
    rows = ["| work | beside | result |", "|---|---|---|"]
    for network in ("ResNet-50", "EfficientNet-Lite0"):
        found = grad_cam[network]
        rows += [
            f"| Grad-CAM of {grad_cam['images']:,} JPEG files with {network}, read to stored | reading them and the "
            f"bare forward pass | {found['speed against forward passes alone']:.2f} of its speed |",
            f"| | a script with pytorch-grad-cam, in batches | {found[_PYTORCH_GRAD_CAM]:.1f} × as fast |",
            f"| | a script with captum, sample by sample | {found[_CAPTUM]:.1f} × as fast |",
        ]
    narrow, alone = "bfloat16: times faster than captum's default call", "time against forward passes alone"
    rows += [
        f"| Grad-CAM of ten targets, ResNet-50 | one target | {targets['ten targets against one']:.2f} × its time |",
        f"| Occlusion, {occlusion['windows']} windows, ResNet-18 | its forward passes alone "
        f"| {occlusion[f'bfloat16: {alone}']:.2f} × their time |",
        f"| | captum's default call | {occlusion[narrow]:.1f} × as fast |",
        *(
            f"| RISE, {int(masks):,} masks, ResNet-18 | its forward passes alone "
            f"| {rise[f'{masks} masks'][alone]:.2f} × their time |"
            for masks in ("256", "4096")
        ),
        f"| Reading 500 × 375 pixels, placing and storing | | {overhead['milliseconds beside the model']:.1f} ms "
        "a sample |",
        f"| | `dataset.apply_model` of a model that returns heatmaps "
        f"| {overhead['times faster than apply_model']:.1f} × as fast |",
        f"| | the same through its PyTorch data loader "
        f"| {overhead['times faster than apply_model, torch data loader']:.1f} × as fast |",
        f"| 20,000 samples | 1,000 samples | {100 * memory['growth']:+.0f} % peak memory |",
        f"| Shares of {shares['regions']} regions in 50,000 stored maps | | "
        f"{shares['seconds']['50000 samples']:.0f} s, {100 * shares['growth']:+.0f} % peak memory over 1,000 maps |",
    ]
    machine = grad_cam["machine"]
    return "\n".join([*rows, "", f"On {machine['processor']}, {machine['threads']} cores, torch {machine['torch']}."])


def _cues() -> str:
    found = _measured("planted_cue")
    rows = [
        "| the cue betrays the class in | networks | accuracy without it | evidence on it (area) | "
        "answers that change when it is hidden, above chance | alarms |",
        "|---|---|---|---|---|---|",
    ]
    for rho, row in found["by strength of the cue"].items():
        area, share = row["area of the cue"], row["share of evidence on the cue"]
        rows.append(
            f"| {float(rho.split()[1]):.0%} | {row['networks']} | {row['accuracy']:.0%} | {share:.1%} ({area:.1%}) | "
            f"{row['answers changed by hiding it, above chance']:.1%} | {row['alarms']} |"
        )
    false, blessed = found["false alarms on clean networks"], _wrongly_fixed(found["pairs"])
    text = (
        f"False alarms on clean networks: {false:.0%}. Verdicts on {len(found['pairs'])} pairs of before and after, "
        f"half of them really fixed: {found['right verdicts']} right, {blessed} wrongly called fixed."
    )
    return "\n".join([*rows, "", text])


def _coverage() -> str:
    found = _measured("coverage")["mean of shares"]
    rows = [
        "| samples | true mean covered, worst shape | by Student's | by the bootstrap | "
        "a gate at its bound passes by luck | width beside Student's |",
        "|---|---|---|---|---|---|",
    ]
    for count, ways in found.items():
        ours, student, bootstrap = ways["fiftyone-saliency"], ways["Student"], ways["percentile bootstrap"]
        if ours is None:
            rows.append(f"| {count} | too few | | {_worst(bootstrap)} | never | |")
            continue
        width = ours["mean width"] / student["mean width"]
        luck = ours["luck of a gate, worst shape"]
        rows.append(
            f"| {count} | {_worst(ours)} | {_worst(student)} | {_worst(bootstrap)} | {luck:.1%} | {width:.2f} × |"
        )
    return "\n".join(rows)


def _worst(way: dict[str, Any]) -> str:
    return f"{min(way['coverage, worst shape'].values()):.3f}"


def _wrongly_fixed(pairs: list[dict[str, Any]]) -> int:
    return sum(pair["verdict"] == "fixed" and not pair["right"] for pair in pairs)


_PYTORCH_GRAD_CAM = "times faster than pytorch-grad-cam, batches"
_CAPTUM = "times faster than captum, one sample at a time"


def _measured(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


_TABLES: dict[str, Callable[[], str]] = {
    "methods": _methods,
    "models": _models,
    "speed": _speed,
    "cues": _cues,
    "coverage": _coverage,
}

if __name__ == "__main__":
    main()
