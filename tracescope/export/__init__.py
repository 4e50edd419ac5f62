"""Chosen probes written down as programs for other tracers."""
