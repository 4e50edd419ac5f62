"""Tracers as Python programs for BCC."""
