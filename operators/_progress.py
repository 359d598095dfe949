"""Run long work beside a progress bar that moves, with a button that stops it.

The work runs in a thread of its own: it goes on when its dialog, or the whole browser, is closed, and ends up where it
would have. Only a wish to stop it ends it early; what was finished until then is kept.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import fiftyone.operators.types as types
from fiftyone.operators.executor import ExecutionResult
from fiftyone.operators.message import GeneratedMessage, MessageType

from fiftyone_saliency.core.errors import SaliencyError, StoppedError
from fiftyone_saliency.dataset import jobs

from . import _answers
from ._answers import Answer

_EVERY = 0.5
_STOP = "@fiftyone-saliency/saliency/stop_work"
_LOG = logging.getLogger("fiftyone_saliency")


class Result:
    """What the App takes as an operator's result from a stream of messages."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def to_json(self) -> Any:
        """Return the result as JSON values."""
        return self._result


class Failed(GeneratedMessage):
    """The message in a stream that tells the App that the operator failed."""

    def __init__(self, error: str) -> None:
        super().__init__(MessageType.ERROR, cls=ExecutionResult)
        self._error = error

    def to_json(self) -> dict[str, Any]:
        """Return the message with the error where the App looks for it."""
        return {**super().to_json(), "error": self._error, "error_message": self._error}


def run(dataset: Any, label: str, work: Callable[[Any], Answer], report: Callable[[float], Any] | None = None) -> Any:
    """Do the work, announced on the dataset, so that it can be stopped from elsewhere.

    Args:
        dataset: what is worked on.
        label: what is going on.
        work: takes a FiftyOne progress callback and returns the answer.
        report: takes the share that is done, in [0, 1], about twice a second.

    Raises:
        StoppedError: if somebody asked for a stop.
    """
    return _run(dataset, label, work, report, jobs.new_id())


def stream(ctx: Any, label: str, work: Callable[[Any], Answer]) -> Iterator[Any]:
    """Do the work in a thread and yield what the App should show meanwhile and in the end."""
    steps: queue.Queue[tuple[str, Any]] = queue.Queue()
    dataset, job_id = ctx.dataset, jobs.new_id()

    def target() -> None:
        try:
            report = lambda progress: steps.put(("step", progress))  # noqa: E731
            steps.put(("done", _run(dataset, label, work, report, job_id)))
        except Exception as error:  # noqa: BLE001 - it is told in the thread of the request
            steps.put(("error", error))

    threading.Thread(target=target, name="saliency-work", daemon=True).start()
    kind: str = "step"
    value: Any = 0.0
    while kind == "step":
        yield _bar(ctx, label, value, job_id)
        kind, value = steps.get()
    yield from _told(ctx, label, value) if kind == "done" else _failed(ctx, label, value)


def is_app(ctx: Any) -> bool:
    """Return whether the App called and waits for messages: its requests name the operator."""
    return "operator_uri" in ctx.request_params and not ctx.delegated


def _run(dataset: Any, label: str, work: Callable[[Any], Answer], report: Any, job_id: str) -> Answer:
    with jobs.watched(dataset, label, job_id) as watch:
        last = time.monotonic()

        def progress(bar: Any) -> None:
            nonlocal last
            if time.monotonic() - last < _EVERY and not bar.complete:
                return
            last = time.monotonic()
            done = min(1.0, float(bar.progress or 0))
            watch.tell(done)
            if report is not None:
                report(done)

        return work(progress)


def _bar(ctx: Any, label: str, progress: float, job_id: str) -> Any:
    outputs = types.Object()
    outputs.float("progress", view=types.ProgressView(label=label))
    outputs.btn("stop", "Stop", on_click=_STOP, params={"job": job_id})
    return ctx.ops.show_output(types.Property(outputs).to_json(), {"progress": progress})


def _told(ctx: Any, label: str, answer: Answer) -> Iterator[Any]:
    yield ctx.ops.show_output(_answers.show(label, answer.text).to_json(), answer.to_json())
    yield ctx.ops.notify(answer.text, variant="success")
    if answer.then is not None:
        yield answer.then(ctx)
    yield GeneratedMessage(MessageType.SUCCESS, cls=ExecutionResult, body=Result(answer.to_json()))


def _failed(ctx: Any, label: str, error: Exception) -> Iterator[Any]:
    stopped = isinstance(error, StoppedError)
    text = str(error) if isinstance(error, SaliencyError) else f"{type(error).__name__}: {error}"
    if not isinstance(error, SaliencyError):
        _LOG.error("%s failed.", label, exc_info=error)
    shown = _answers.show(label, text) if stopped else _answers.show_failure(label, text)
    yield ctx.ops.show_output(shown.to_json(), {})
    yield ctx.ops.notify(text, variant="warning" if stopped else "error")
    yield ctx.ops.reload_dataset()
    yield Failed(text)
    if not is_app(ctx):
        raise error
