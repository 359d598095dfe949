from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import fiftyone_saliency

HEAVY = ("torch", "torchvision", "captum", "fiftyone", "numpy", "cv2", "PIL")


def test_importing_the_package_imports_nothing_heavy():
    code = f"import sys, fiftyone_saliency; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent
    )
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_the_public_names_are_the_sorted_table_and_the_version():
    assert fiftyone_saliency.__all__ == ["__version__", *sorted(fiftyone_saliency._HOME)]
    assert set(fiftyone_saliency.__all__) <= set(dir(fiftyone_saliency))


def test_type_checkers_see_the_same_names_in_the_same_places():
    """The imports under TYPE_CHECKING and the table of lazy names are written twice."""
    tree = ast.parse(Path(fiftyone_saliency.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        name.asname: node.module.removeprefix("fiftyone_saliency.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert seen == fiftyone_saliency._HOME


@pytest.mark.parametrize("name", fiftyone_saliency._HOME)
def test_every_public_name_resolves_and_says_what_it_is(fo, name):
    value = getattr(fiftyone_saliency, name)
    assert value.__name__ == name
    assert value.__module__ == f"fiftyone_saliency.{fiftyone_saliency._HOME[name]}"
    text = inspect.getdoc(value)
    assert text is not None
    assert text.splitlines()[0].endswith(".")


def test_the_version_is_a_version():
    assert fiftyone_saliency.__version__[0].isdigit()


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'fiftyone_saliency' has no attribute 'compute_salience'"):
        _ = fiftyone_saliency.compute_salience
