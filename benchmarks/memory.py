"""Peak resident memory of a computation over 1,000 samples and over 20,000."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from examples._workspace import use_workspace

FILES, COUNTS = 1000, (1000, 20_000)


def measure(folder: Path) -> dict[str, Any]:
    """Measure each number of samples in a process of its own."""
    peaks = {}
    for count in COUNTS:
        command = [sys.executable, "-m", "benchmarks.memory", str(folder), str(count)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
        peaks[count] = json.loads(answer.stdout.splitlines()[-1])
    few, many = (peaks[count] for count in COUNTS)
    return {
        "peak resident memory, MiB": {f"{count} samples": peak for count, peak in peaks.items()},
        "growth": round(many / few - 1, 3),
    }


def one(folder: Path, count: int) -> int:
    """Compute over that many samples and return the peak in MiB."""
    from benchmarks import _bench as bench
    from benchmarks import overhead

    paths = bench.jpegs(folder / "jpegs", FILES)
    dataset = bench.make_dataset([paths[i % FILES] for i in range(count)])
    model = overhead.fos.load_model(overhead.Tiny().eval(), [str(i) for i in range(10)], overhead.TRANSFORM, "conv")
    overhead._ours(dataset, model)
    run = overhead.fos.list_runs(dataset)[0]
    assert run.counts.done == count  # noqa: S101
    peak = bench.peak_memory()
    dataset.delete()
    return peak


if __name__ == "__main__":
    use_workspace()
    print(json.dumps(one(Path(sys.argv[1]), int(sys.argv[2]))))
