"""What runs inside a booted kernel: every check in one process, each one's result on disk when it is known.

    python guest.py FOLDER [CHECK…]      FOLDER: where the host has put `workload`, and where results.jsonl goes

One line a check: {"check", "outcome": "passed" | "failed" | "absent", "why", "facts", "seconds"}. "absent" names the
fact of this kernel that forbids it.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path

from every_check import CHECKS, Absent, prepare


def _run(name: str) -> dict[str, object]:
    began = time.monotonic()
    found: dict[str, object] = {"check": name, "outcome": "passed", "why": ""}
    try:
        found["facts"] = CHECKS[name]()
    except Absent as reason:
        found |= {"outcome": "absent", "why": str(reason)}
    except Exception as error:  # noqa: BLE001 - one failed check does not stop the others
        log = getattr(error, "log", "")
        found |= {"outcome": "failed", "why": f"{traceback.format_exc()}\n{log[-6000:]}"}
    return found | {"seconds": round(time.monotonic() - began, 1)}


def main() -> int:
    folder = Path(sys.argv[1])
    prepare(folder)
    with open(folder / "results.jsonl", "w", encoding="utf-8") as results:
        for name in sys.argv[2:] or CHECKS:
            row = _run(name)
            results.write(json.dumps(row) + "\n")
            results.flush()
            os.fsync(results.fileno())
            print(f"{name}: {row['outcome']} ({row['seconds']} s)", flush=True)
    os.sync()
    return 0


if __name__ == "__main__":
    sys.exit(main())
