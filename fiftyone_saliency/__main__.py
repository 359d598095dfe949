"""``python -m fiftyone_saliency``."""

import sys

from fiftyone_saliency.cli import main

sys.exit(main())
