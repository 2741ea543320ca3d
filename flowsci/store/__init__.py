"""Files: fetched sources, prepared arrays, models, generated datasets, measures."""
