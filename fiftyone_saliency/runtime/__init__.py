"""Run a model over many images: plan the work, load ahead, explain chunk by chunk."""
