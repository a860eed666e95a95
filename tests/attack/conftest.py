"""What is run as a program holds no tests of its own."""

from pathlib import Path

collect_ignore = [each.name for each in Path(__file__).parent.glob("[!ct]*.py")]
collect_ignore += ["target.py"]
