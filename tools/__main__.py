"""Write every generated file; with `--check`, only say which are not up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.generated import generated_files

TOP = Path(__file__).resolve().parent.parent


def main() -> int:
    stale = []
    for path, text in generated_files(TOP).items():
        file = TOP / path
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(path)
            if "--check" not in sys.argv:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
    sys.stderr.write("".join(f"{path}\n" for path in stale))
    return 1 if stale and "--check" in sys.argv else 0


sys.exit(main())
