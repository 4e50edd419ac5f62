"""Expressions over the values of an event: `args.ret < 0 && comm == "sshd"`, checked against the probe's types.

Text → `parse` → syntax → `check` (with a `scope`) → typed → `c_text` for the kernel, `python_value` for here.
`guide` says to users what the language is and means.
"""
