#!/usr/bin/env bash
# Run the loop once with the oldest Python and the oldest releases that the package declares.
set -euo pipefail

VERSION=3.10
VENV="${VENV:-.venv-floors}"

# An interpreter of that version: on the path, or one that pyenv keeps.
found=""
for candidate in "python$VERSION" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$VERSION".*/bin/python; do
  if "$candidate" -c "" 2>/dev/null; then found="$candidate"; break; fi
done
if [ -z "$found" ]; then
  echo "Skipped: there is no Python $VERSION here to try the oldest releases with."
  exit 0
fi

PYTHON="$found" VENV="$VENV" CONSTRAINTS=constraints-lowest.txt EXTRAS="" bash scripts/setup_environment.sh
"$VENV/bin/python" -m pip --disable-pip-version-check install --quiet "pytest>=8" "pytest-timeout>=2.3"
"$VENV/bin/python" -m pytest -p no:cacheprovider tests/test_smoke.py
