"""The process monitor: every start, failure and end, from one program of its own."""
