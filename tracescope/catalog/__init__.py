"""The join: one row a probe, searchable, with a verdict and advice."""
