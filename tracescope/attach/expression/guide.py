"""What users are told about the language of expressions."""

from __future__ import annotations

__all__ = ("GUIDE",)

GUIDE = """\
An expression is made of the event's values, numbers, texts and operators:

  args.NAME             an argument of the probe; args.file->f_path.dentry->d_name.name follows members by the
                        kernel's types (. and -> mean the same), args.argv[0] takes an element
  ret pid tid comm …    builtins
  10 0x1f 0644 0b11     numbers; they may end in K M G (times 1024) or ns us ms s (times, in ns): duration_ns > 5ms
  "sshd" 'sshd'         texts, with \\n \\t \\r \\e \\\\ \\" \\' \\xHH
  O_CREAT ENOENT SIGKILL  constants: the names that the value beside them knows, errors and signals

Operators, the loosest first:

  ||   &&   (== != < <= > >= =~)   |   ^   &   (<< >>)   (+ -)   (* / %)   (! - ~ before a value)

  Bit operators bind tighter than comparisons: args.flags & O_CREAT == 0 is (args.flags & O_CREAT) == 0, unlike in C.
  Comparisons do not chain. Texts have == and !=, and =~ with one *: =~ "begin*", =~ "*end", =~ "begin*end".

Numbers have 64 bits, signed or not as their type says, and are compared as numbers: -1 is below any unsigned one.
Arithmetic is exact, then cut to 64 bits. A difference, a negation and ~ are signed; & is where both sides are; a shift
is as its left side; all else is where one side is. Division drops the fraction; by zero it gives 0, and so does %.
Shifts by 64 or more leave 0, or the sign.

&& and || stop as soon as the answer is known. When what has to be read then cannot be read (a null pointer, a page
that is not in memory), the whole condition is false, even below a !: the event does not pass. At the entry of a system
call a page that nobody has used yet (of a program that has only just started) is not in memory: the condition is false,
though the event would show the text. At the return the page is there, and --pair decides then.
"""
