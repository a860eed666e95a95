"""A folder of files for an importer of yours: accounts, opportunities and tasks, as CSV or Parquet.

A file is replaced as a whole or not at all. ``manifest.json`` goes before the first file changes
and comes back last: where it stands, and the sums in it are those of the files, they are whole and
belong together. What people change in the files stays as they left it. For an importer's author:
serving/crm/FILES.md.
"""

from serving.crm.files.folder import FILES, Files, target

__all__ = ["FILES", "Files", "target"]
