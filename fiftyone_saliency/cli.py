"""The command line: a report to hand on, and a gate that a build can stop at."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fiftyone_saliency._version import __version__
from fiftyone_saliency.core.errors import SaliencyError

PASSED, FELL_SHORT, WRONG_USAGE, CRASHED = 0, 1, 2, 3
_STATUS = """status:
  0  done; every limit is kept
  1  a limit is not kept
  2  wrong usage: an unknown name, a value that makes no sense, a file that is there already
  3  something broke"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except (SaliencyError, OSError) as error:
        print(f"fiftyone-saliency: {error}", file=sys.stderr)
        return WRONG_USAGE
    except Exception:  # noqa: BLE001 - Python ends with 1 then, and a crash must not look like a verdict
        traceback.print_exc()
        return CRASHED


def _report(options: argparse.Namespace) -> int:
    samples, shared = _measured(options)
    import fiftyone_saliency as fos

    print(
        fos.report(
            samples,
            compare_with=options.compare_with,
            out=options.out,
            cells=options.cells,
            pictures=options.pictures,
            seed=options.seed,
            overwrite=options.overwrite,
            **shared,
        )
    )
    return PASSED


def _gate(options: argparse.Namespace) -> int:
    samples, shared = _measured(options)
    import fiftyone_saliency as fos

    gate = fos.gate(
        samples,
        max_share=dict(options.max_share),
        min_share=dict(options.min_share),
        min_needed=dict(options.min_needed),
        model=options.model,
        min_accuracy=options.min_accuracy,
        max_wrong_reason=options.max_wrong_reason,
        by=options.by,
        bound=options.bound,
        min_samples=options.min_samples,
        require_trust=not options.without_trust,
        **shared,
    )
    print(gate)
    if options.json is not None:
        options.json.write_text(json.dumps(gate.to_json(), indent=1, ensure_ascii=False), encoding="utf-8")
    return PASSED if gate.passed else FELL_SHORT


def _clean_up(options: argparse.Namespace) -> int:
    import fiftyone_saliency as fos
    from fiftyone_saliency.dataset.opening import open_samples

    samples = None if options.dataset is None else open_samples(options.dataset, None, [])
    found = fos.clean_up(samples, dry_run=not options.delete)
    print(json.dumps(found.to_json(), indent=1, ensure_ascii=False) if options.json else found)
    return CRASHED if found.failures else PASSED


def _measured(options: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """Open the samples, and return them with the arguments that both commands share."""
    # FiftyOne and a database: not for --help.
    from fiftyone_saliency.dataset.opening import open_samples

    names = ("field", "regions", "right", "gt_field", "pred_field")
    return open_samples(options.dataset, options.view, options.tags), {name: getattr(options, name) for name in names}


def _parser() -> argparse.ArgumentParser:
    from fiftyone_saliency.core.gate import BOUNDS, MIN_SAMPLES, SCOPES
    from fiftyone_saliency.core.types import SEED

    parser = argparse.ArgumentParser(
        prog="fiftyone-saliency",
        description="Where the evidence of an image model lies: reports and gates on stored saliency maps.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    report = _command(commands, "report", _report, "write a page and a JSON file with every number")
    report.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="page (%(default)s)")
    report.add_argument("--compare-with", metavar="RUN", help="key or field of a later run on the same samples")
    report.add_argument("--cells", type=int, default=8, metavar="N", help="most cells with pictures (%(default)s)")
    report.add_argument("--pictures", type=int, default=6, metavar="N", help="most pictures per cell (%(default)s)")
    report.add_argument("--seed", type=int, default=SEED, metavar="N", help="seed of the drawn pictures (%(default)s)")
    report.add_argument("--overwrite", action="store_true", help="replace files of that name")

    gate = _command(commands, "gate", _gate, "end with status 1 where the reasons fall short")
    limits = (
        ("--max-share", "most of the evidence in a region, such as head=0.3"),
        ("--min-share", "least of the evidence in a region, such as uniform=0.5"),
        ("--min-needed", "least share of answers that change when a region is hidden from --model, above the control"),
    )
    for name, what in limits:
        gate.add_argument(
            name, type=_limit, action="append", default=[], metavar="REGION=SHARE", help=f"{what}; may be repeated"
        )
    gate.add_argument("--model", metavar="NAME", help="registered name of the model that computed the maps")
    gate.add_argument("--min-accuracy", type=float, metavar="SHARE", help="least accuracy")
    gate.add_argument(
        "--max-wrong-reason",
        type=float,
        metavar="SHARE",
        help="largest share of right predictions that rest on a region that --right does not name",
    )
    gate.add_argument("--by", choices=SCOPES, default="overall", help="hold each true class to the limits as well")
    gate.add_argument(
        "--bound", choices=BOUNDS, default="interval", help="what has to keep a limit: the 95 %% interval or the mean"
    )
    gate.add_argument(
        "--min-samples", type=int, default=MIN_SAMPLES, metavar="N", help="fewer prove nothing (%(default)s)"
    )
    gate.add_argument("--without-trust", action="store_true", help="pass maps that did not pass check_trust, too")
    gate.add_argument("--json", type=Path, metavar="FILE", help="write the verdict and all numbers to a file, too")

    clean = commands.add_parser(
        "clean-up",
        help="find files of maps that nothing points at, and delete them",
        description="Find files of maps that nothing points at. Nothing is deleted without --delete.",
        epilog=_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    clean.set_defaults(command=_clean_up)
    clean.add_argument("dataset", nargs="?", metavar="DATASET", help="only of this dataset (all, and deleted ones)")
    clean.add_argument("--delete", action="store_true", help="delete what is found")
    clean.add_argument("--json", action="store_true", help="print every file, as JSON")
    return parser


def _command(commands: Any, name: str, run: Any, summary: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary.capitalize()}.",
        epilog=_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run)
    parser.add_argument("dataset", metavar="DATASET", help="name of a FiftyOne dataset")
    parser.add_argument("--view", metavar="NAME", help="one of its saved views")
    parser.add_argument("--tags", type=_names, default=[], metavar="A,B", help="only samples with one of these tags")
    parser.add_argument("--field", default="saliency", help="field of the maps (%(default)s)")
    parser.add_argument("--regions", required=True, help="label field or named regions that the maps are held against")
    parser.add_argument("--right", type=_names, default=[], metavar="A,B", help="regions where the evidence should lie")
    parser.add_argument("--gt-field", default="ground_truth", metavar="FIELD", help="true labels (%(default)s)")
    parser.add_argument("--pred-field", default="predictions", metavar="FIELD", help="predicted labels (%(default)s)")
    return parser


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _limit(text: str) -> tuple[str, float]:
    # The last one, because a region may be called "a=b".
    region, _, share = text.rpartition("=")
    try:
        return region, float(share)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected REGION=SHARE such as head=0.3, but got {text!r}") from error
