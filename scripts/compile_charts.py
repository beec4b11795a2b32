"""Compile the report's charts from Vega-Lite to Vega, for the page. With --check, fail if they are outdated.

They depend on no data. Compiling them in each report would cost half a second of processor time.
"""

import json
import sys
from pathlib import Path

import vl_convert

from synthflow_assets.report.charts import page_charts

COMPILED = Path(__file__).parents[1] / "synthflow_assets" / "report" / "page" / "charts.json"
VEGA_LITE = "6.4"


def compiled() -> str:
    """Return the compiled charts by name as JSON."""
    charts = {name: vl_convert.vegalite_to_vega(chart, vl_version=VEGA_LITE) for name, chart in page_charts().items()}
    return json.dumps(charts, indent=1) + "\n"


def main() -> int:
    """Return the exit code: 1 if --check finds outdated charts."""
    if "--check" not in sys.argv:
        COMPILED.write_text(compiled(), encoding="utf-8")
    elif not COMPILED.exists() or COMPILED.read_text(encoding="utf-8") != compiled():
        print("the report's compiled charts are outdated; run: make charts")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
