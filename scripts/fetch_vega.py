"""Fetch the scripts that draw the report's charts, in the versions below, with all their licences. Needs npm."""

import shutil
import subprocess
import tempfile
from pathlib import Path

VERSIONS = {"vega": "6.4.0", "vega-embed": "7.3.0"}
TARGET = Path(__file__).parents[1] / "synthflow_assets" / "report" / "page" / "vega"


def licences(packages: Path) -> str:
    """Return the distinct licences of all packages in a folder, each with the names of its packages."""
    names: dict[str, list[str]] = {}
    for path in sorted(packages.glob("*/LICENSE*")):
        names.setdefault(path.read_text(encoding="utf-8").strip(), []).append(path.parent.name)
    return "\n\n".join(f"{', '.join(packages)}\n\n{text}" for text, packages in names.items()) + "\n"


def main() -> None:
    """Replace the scripts and their licences."""
    with tempfile.TemporaryDirectory() as folder:
        # vega-embed's peer Vega-Lite is not needed, because `compile_charts.py` has compiled the charts.
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--legacy-peer-deps"]
        subprocess.run([*command, *(f"{name}@{version}" for name, version in VERSIONS.items())], cwd=folder, check=True)
        packages = Path(folder, "node_modules")
        TARGET.mkdir(exist_ok=True)
        for name in VERSIONS:
            shutil.copy(packages / name / "build" / f"{name}.min.js", TARGET)
        (TARGET / "LICENSES").write_text(licences(packages), encoding="utf-8")


if __name__ == "__main__":
    main()
