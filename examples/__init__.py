"""The two stories, runnable: `python -m examples.professions` and `python -m examples.groceries`."""
