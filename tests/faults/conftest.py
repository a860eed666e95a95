"""The modules beside the tests are found by their names, as when run.py is run."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

collect_ignore_glob = ["run.py"]
