"""Download Odoo 19 from Debian and unpack it with its own Python; run by ``make test-odoo``.

Nothing is installed on the machine, and its package lists are not changed. Downloads are verified
against ``packages.txt``. If Debian unstable has newer versions, the script stops with a message.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests import ROOT

HERE = Path(__file__).parent
FOLDER = ROOT / "data/local/odoo"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Unused apps and translations: five sixths of the package.
_EXCLUDED = (
    *("*/addons/l10n_*", "*/i18n/*", "*/addons/website*", "*/addons/pos_*", "*/addons/payment*"),
    *("*/addons/test_*", "*/static/description/*", "./etc/*", "./usr/share/doc/*"),
)


def read_pins() -> list[tuple[str, str, str]]:
    """Return name, version and SHA-256 of each package."""
    lines = (HERE / "packages.txt").read_text(encoding="utf-8").splitlines()
    return [(name, version, digest) for name, version, digest in map(str.split, lines)]


def install(folder: Path) -> None:
    """Install the pinned versions into the folder; do nothing if they are installed."""
    pins = (HERE / "packages.txt").read_bytes() + (HERE / "requirements.txt").read_bytes()
    stamp, pins_hash = folder / "installed", hashlib.sha256(pins).hexdigest()
    if stamp.exists() and stamp.read_text() == pins_hash:
        return
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            sys.exit(
                f"expected {tool}: Odoo's package is fetched and unpacked on Debian or Ubuntu."
            )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _print_status("fetching Odoo 19, 130 MB")
    _fetch(folder)
    for package in sorted(folder.glob("*.deb")):
        _unpack(package, folder / "root")
        package.unlink()
    _print_status("installing what it needs, 250 MB")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    pip = [folder / "venv/bin/python", "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--requirement", HERE / "requirements.txt"], check=True)
    stamp.write_text(pins_hash)


def _fetch(folder: Path) -> None:
    apt = folder / "apt"
    for part in ("lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True)
    source = apt / "sid.list"
    source.write_text(f"deb [signed-by={_KEYRING}] {_find_mirror()} sid main\n")
    private = {
        "Dir::Etc::sourcelist": source,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "root",
    }
    options = [f"-o{name}={value}" for name, value in private.items()]
    subprocess.run(["apt-get", "-qq", *options, "update"], check=True)
    for name, version, digest in read_pins():
        _check_candidate(name, version, options)
        subprocess.run(
            ["apt-get", "-qq", *options, "download", f"{name}={version}"], cwd=folder, check=True
        )
        (package,) = folder.glob(f"{name}_*.deb")
        matches = hashlib.sha256(package.read_bytes()).hexdigest()
        if matches != digest:
            sys.exit(f"{package.name}: expected SHA-256 {digest}, found {matches}; do not use it.")
    shutil.rmtree(apt)


def _check_candidate(name: str, version: str, options: list[str]) -> None:
    output = subprocess.run(
        ["apt-cache", *options, "madison", name], check=True, capture_output=True, text=True
    ).stdout
    offered = [line.split("|")[1].strip() for line in output.splitlines() if "Packages" in line]
    if version not in offered:
        sys.exit(
            f"Debian has moved {name} from {version} to {', '.join(offered) or 'nothing'}: look at"
            " what changed, then pin the new version and its SHA-256 in"
            " tests/integration/odoo/packages.txt."
        )


def _find_mirror() -> str:
    """Return the Debian mirror of this machine."""
    output = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(RELEASE) $(REPO_URI)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rows = [line.split() for line in output.splitlines()]
    matches = sorted({row[2] for row in rows if row[0] == "Debian" and "-" not in row[1]})
    if not matches:
        sys.exit("expected a mirror of Debian among this machine's sources; run apt-get update.")
    return matches[0]


def _unpack(package: Path, target_folder: Path) -> None:
    target_folder.mkdir(exist_ok=True)
    excluded = [f"--exclude={pattern}" for pattern in _EXCLUDED]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as tar:
        command = ["tar", "x", "-C", target_folder, "--wildcards", *excluded]
        subprocess.run(command, stdin=tar.stdout, check=True)
    if tar.returncode:
        sys.exit(f"{package.name} cannot be unpacked.")


def _print_status(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    install(FOLDER)
