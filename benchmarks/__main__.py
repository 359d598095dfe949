"""`python -m benchmarks [NAME ...]`: run the measurements, all or those named, and renew their committed results."""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

from examples._workspace import use_workspace

RESULTS = Path(__file__).parent / "results"
ALL = (
    "grad_cam",
    "targets",
    "occlusion",
    "rise",
    "overhead",
    "memory",
    "region_shares",
    "coverage",
    "preference",
    "small_pairs",
    "planted_cue",
)


def main() -> None:
    """Run the measurements in the demos' FiftyOne, on files in the system's temporary folder."""
    # A thread that spins while it waits steals the core that decodes the next image.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    names = sys.argv[1:] or ALL
    unknown = sorted(set(names) - set(ALL))
    if unknown:
        raise SystemExit(f"Expected names among {', '.join(ALL)}, but got {', '.join(unknown)}.")
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="saliency-benchmarks-") as folder:
        os.environ["FIFTYONE_DEFAULT_DATASET_DIR"] = str(Path(folder) / "fiftyone")
        use_workspace()
        for name in names:
            result = {"machine": _machine(), **importlib.import_module(f"benchmarks.{name}").measure(Path(folder))}
            (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
            print(name, json.dumps(result, indent=1), flush=True)


def _machine() -> dict[str, object]:
    import torch

    return {"processor": _processor(), "threads": torch.get_num_threads(), "torch": torch.__version__}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
