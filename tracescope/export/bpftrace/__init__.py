"""Tracers in the language of bpftrace."""
