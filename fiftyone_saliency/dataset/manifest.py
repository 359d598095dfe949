"""The manifest of an export: one schema, which is checked whole before anything is made of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import pydantic_core
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from fiftyone_saliency.core.errors import FieldError

MANIFEST = "manifest.json"
SCHEMA = 3
# A million samples with long paths have a gigabyte; what is larger was not written by an export.
_LARGEST = 4 * 2**30
_SHOWN = 3


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


def _mask_value(text: str) -> str:
    if not re.fullmatch(r"\d{1,9}|#[0-9a-fA-F]{6}", text):
        raise ValueError("should be an integer or a colour such as #499cef")
    return text


_MaskValue = Annotated[str, AfterValidator(_mask_value)]
_Label = dict[str, Any]


class LeftOut(_Part):
    """A sample that was not exported, and why."""

    id: str
    source: str
    reason: str


class Regions(_Part):
    """The regions whose masks were written, and the level of each in the masks."""

    name: str
    values: dict[str, Annotated[int, Field(ge=1, le=255)]]


class Entry(_Part):
    """A sample; paths are relative to the export's folder, but for ``source``."""

    id: str
    image: str | None
    source: str
    tags: list[str]
    group: str | None
    weight: FiniteFloat | None
    region_mask: str | None
    labels: dict[str, _Label]
    heatmaps: dict[str, _Label]


class Manifest(_Part):
    """What an export holds."""

    schema_version: int
    format: str
    label_field: str
    classes: dict[str, str] | None
    heatmap_fields: list[str]
    count: int
    left_out: list[LeftOut]
    groups: dict[str, int]
    regions: Regions | None
    mask_targets: dict[str, dict[_MaskValue, str]]
    samples: Annotated[list[Entry], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_consistent(self) -> Manifest:
        if self.count != len(self.samples):
            raise ValueError(f"count is {self.count}, but there are {len(self.samples)} samples")
        return self


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest of an export.

    Raises:
        FieldError: if there is none, or it is damaged or of another schema.
    """
    path = folder / MANIFEST
    # Not only missing: a pipe of that name would never end.
    if not path.is_file():
        raise FieldError(
            f"Expected {folder} to hold a finished export, but it has no {MANIFEST}. Export into it first."
        )
    if path.stat().st_size > _LARGEST:
        raise FieldError(f"Expected {path} to be the manifest of an export, but it has more than 4 GiB. Export again.")
    try:
        content = pydantic_core.from_json(path.read_bytes(), allow_inf_nan=True)
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if type(version) is int and version != SCHEMA:
        raise FieldError(
            f"Expected a manifest of schema {SCHEMA}, but {folder} has schema {version}. "
            "Read it with the version of this package that wrote it, or export again."
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'the whole'}: {e['msg']}" for e in error.errors()[:_SHOWN]]
        more = f" and {error.error_count() - _SHOWN} more" if error.error_count() > _SHOWN else ""
        raise _damaged(path, "; ".join(problems) + more) from error


def _damaged(path: Path, why: str) -> FieldError:
    return FieldError(
        f"Expected {path} to be the manifest of an export, but it is damaged: {why[:1000]}. Export again, or bring it "
        "back from a copy."
    )
