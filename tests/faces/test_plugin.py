"""The plugin as FiftyOne loads it: a swallowed error or an unlisted class would simply be missing in the App."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import tomllib
import yaml

ROOT = Path(__file__).resolve().parents[2]
NAME = "@fiftyone-saliency/saliency"


@pytest.fixture(scope="module")
def context(fo):
    import fiftyone.plugins as fop
    from fiftyone.plugins.context import build_plugin_contexts

    found = [c for c in build_plugin_contexts() if c.name == NAME]
    assert fop.get_plugin(NAME) is not None
    (context,) = found
    context.register_all()
    return context


def test_loads_without_errors(context):
    assert context.errors == []


def test_manifest_and_classes_agree(context):
    manifest = yaml.safe_load((ROOT / "fiftyone.yml").read_text())

    names = sorted(instance.config.name for instance in context.instances)

    assert names == sorted([*manifest["operators"], *manifest["panels"]])


def test_every_operator_states_label_description_and_risk(context):
    from fiftyone.operators.types import RiskLevel

    manifest = yaml.safe_load((ROOT / "fiftyone.yml").read_text())
    for instance in context.instances:
        if instance.config.name in manifest["operators"]:
            config = instance.config
            assert config.label.startswith("Saliency: ")
            assert len(config.description) > 20
            assert config.risk_level != RiskLevel.DANGEROUS


def test_version_is_one(context):
    import fiftyone_saliency

    assert yaml.safe_load((ROOT / "fiftyone.yml").read_text())["version"] == fiftyone_saliency.__version__


def test_a_downloaded_plugin_requires_what_the_package_does_but_fiftyone():
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    plugin = (ROOT / "requirements.txt").read_text().splitlines()
    assert plugin == [one for one in package if not one.startswith("fiftyone>=")]


def test_the_root_file_imports_nothing_before_register():
    """FiftyOne runs it again at every request of every user."""
    code = (
        "import sys, importlib.util;"
        f"spec = importlib.util.spec_from_file_location('plugin', {str(ROOT / '__init__.py')!r});"
        "module = importlib.util.module_from_spec(spec); before = set(sys.modules); spec.loader.exec_module(module);"
        "print(sorted(set(sys.modules) - before))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_downloaded_plugin_works_without_the_package_installed(tmp_path):
    """`fiftyone plugins download` copies the folder and installs nothing: the plugin's own copy must serve."""
    code = (
        "import sys, types; sys.path = [p for p in sys.path if 'editable' not in p];"
        "sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()];"
        "import os; sys.path = [p for p in sys.path if p and not os.path.isdir(os.path.join(p, 'fiftyone_saliency'))];"
        "import importlib.util; assert importlib.util.find_spec('fiftyone_saliency') is None;"
        f"spec = importlib.util.spec_from_file_location('the_plugin', {str(ROOT / '__init__.py')!r},"
        f" submodule_search_locations=[{str(ROOT)!r}]);"
        "module = importlib.util.module_from_spec(spec); sys.modules['the_plugin'] = module;"
        "spec.loader.exec_module(module); found = [];"
        "module.register(types.SimpleNamespace(register=found.append)); print(len(found));"
        "import fiftyone_saliency; print(fiftyone_saliency.__file__)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)

    assert done.stderr.count("Traceback") == 0, done.stderr
    manifest = yaml.safe_load((ROOT / "fiftyone.yml").read_text())
    faces = len(manifest["operators"]) + len(manifest["panels"])
    assert done.stdout.split() == [str(faces), str(ROOT / "fiftyone_saliency" / "__init__.py")]


_REGISTER = """
import importlib.util, os, sys, types
sys.path = [p for p in sys.path if p and not os.path.isdir(os.path.join(p, "fiftyone_saliency"))]
sys.meta_path = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
sys.path.insert(0, INSTALLED)
spec = importlib.util.spec_from_file_location("the_plugin", ROOT + "/__init__.py", submodule_search_locations=[ROOT])
module = importlib.util.module_from_spec(spec)
sys.modules["the_plugin"] = module
spec.loader.exec_module(module)
found = []
module.register(types.SimpleNamespace(register=found.append))
for cls in found:
    print(cls().config.name, "|", cls().config.description)
"""


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        ({"__init__": "__version__ = '0.0.1'"}, "version 0.0.1"),
        ({"__init__": ""}, "version 0 "),
        ({"__init__": "__version__ = '99.0'"}, "could not be imported"),
    ],
)
def test_a_package_that_does_not_fit_is_said_by_one_operator(tmp_path, package, expected):
    """Or the App would show nothing at all: FiftyOne swallows what goes wrong in `register`."""
    folder = tmp_path / "fiftyone_saliency"
    folder.mkdir()
    for name, text in package.items():
        (folder / f"{name}.py").write_text(text)
    code = f"ROOT, INSTALLED = {str(ROOT)!r}, {str(tmp_path)!r}\n{_REGISTER}"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)

    (line,) = done.stdout.strip().splitlines() or [done.stderr]
    name, _, text = line.partition(" | ")
    assert name in yaml.safe_load((ROOT / "fiftyone.yml").read_text())["operators"], "FiftyOne drops what is not listed"
    assert expected in text
    assert "pip install --upgrade" in text
    assert str(ROOT / "fiftyone_saliency") not in text


def test_listing_the_faces_loads_no_pytorch(fo):
    """Half a gigabyte, and seconds, for every App that has the plugin, used or not."""
    code = (
        "import sys, fiftyone.operators as foo, fiftyone.operators.executor as executor;"
        "from fiftyone.plugins.context import build_plugin_contexts;"
        f"(context,) = [c for c in build_plugin_contexts() if c.name == {NAME!r}];"
        "print([i.to_json()['config']['name'] for i in context.instances].__len__(), context.errors);"
        "[executor.resolve_placement(i, {}) for i in context.instances];"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'torch', 'torchvision', 'captum', 'transformers'}))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    manifest = yaml.safe_load((ROOT / "fiftyone.yml").read_text())
    faces = len(manifest["operators"]) + len(manifest["panels"])
    assert done.stdout.splitlines() == [f"{faces} []", "[]"], done.stderr
