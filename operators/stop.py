"""Stop what is being computed."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

from fiftyone_saliency.dataset import jobs

from ._answers import Answer
from ._forms import Form
from ._operator import SaliencyOperator


class StopWork(SaliencyOperator):
    """Ask long work to stop; what it has finished is kept."""

    title = "Stop what is being computed"
    about = "It stops after the images that it is working on; a run then goes on from there when it is started again"

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne shows of the operator."""
        return foo.OperatorConfig(
            name="stop_work",
            label="Saliency: stop what is being computed",
            description="See what is being computed on this dataset, how far it is, and stop it",
            icon="stop_circle",
            dynamic=True,
            risk_level=types.RiskLevel.MEDIUM,
            view_target=False,
        )

    def ask(self, form: Form) -> None:
        """Add the entries."""
        dataset = form.ctx.dataset
        found = {job.id: job for job in jobs.list_jobs(dataset)}
        titles = {
            name: f"{job.label}: {job.progress:.0%}, since {job.started[11:16]} UTC, last heard of {job.seen[11:19]}"
            for name, job in found.items()
        }
        chosen = form.choice("job", list(found), "Work", titles=titles)
        if chosen is None:
            form.note("none", "Nothing is being computed on this dataset.")
            form.refuse("job", "Nothing is being computed on this dataset")
        elif jobs.is_stopping(dataset, chosen):
            form.note("stopping", "It was asked to stop already.")

    def act(self, ctx: Any, form: Form, progress: Any) -> Answer:
        """Ask for the stop."""
        job = jobs.stop_job(ctx.dataset, form["job"])
        text = f"{job.label} stops after the images that it is working on"
        return Answer(text, {"job": job.id, "label": job.label, "progress": job.progress}, then=None)
