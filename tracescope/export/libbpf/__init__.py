"""Tracers as libbpf projects."""
