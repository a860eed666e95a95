"""Makes the helper modules of this folder importable, as when run.py is executed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

collect_ignore_glob = ["run.py"]
