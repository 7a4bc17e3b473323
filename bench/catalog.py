"""All figures of the stages `catalog` and `convert`: bench/scan.py, then bench/convert.py.

Run: .venv/bin/python bench/catalog.py [--quick]. The last line is one JSON object.
"""

import argparse
import json

from convert import convert_ratio
from scan import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="within five minutes on two cores")
    quick = parser.parse_args().quick
    ratio = convert_ratio(8, 3) if quick else convert_ratio()
    print(json.dumps(main(quick) | ratio))
