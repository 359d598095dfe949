"""`python -m benchmarks`: run all measurements and renew the committed results."""

from __future__ import annotations

import json
import platform
from pathlib import Path

from examples._workspace import FOLDER, use_workspace

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Run the measurements in the demos' FiftyOne."""
    folder = use_workspace(FOLDER) / "benchmarks"
    folder.mkdir(exist_ok=True)

    import torch

    from benchmarks import grad_cam

    machine = {"processor": _processor(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    result = {"machine": machine, **grad_cam.measure(folder)}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "grad_cam.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
