"""From a choice of probes to a running session: plan, program, backend, ring, events."""
