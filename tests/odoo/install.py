"""Fetch Odoo 19 from Debian and unpack it beside its own Python: ``make test-odoo`` does it first.

Nothing is installed on the machine, and nothing of the machine's package lists is touched. What was
fetched is held against ``packages.txt``. Debian's unstable distribution moves on: where it has, we
say so and stop.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / "data/local/odoo"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Apps that no test opens, and translations: five sixths of the package.
_LEFT_OUT = (
    *("*/addons/l10n_*", "*/i18n/*", "*/addons/website*", "*/addons/pos_*", "*/addons/payment*"),
    *("*/addons/test_*", "*/static/description/*", "./etc/*", "./usr/share/doc/*"),
)


def packages() -> list[tuple[str, str, str]]:
    """Name, version and SHA-256 of each package."""
    lines = (HERE / "packages.txt").read_text(encoding="utf-8").splitlines()
    return [(name, version, digest) for name, version, digest in map(str.split, lines)]


def install(folder: Path) -> None:
    """Make the folder what the pins say; nothing to do where it is so already."""
    pins = (HERE / "packages.txt").read_bytes() + (HERE / "requirements.txt").read_bytes()
    stamp, wanted = folder / "installed", hashlib.sha256(pins).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            sys.exit(
                f"expected {tool}: Odoo's package is fetched and unpacked on Debian or Ubuntu."
            )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _tell("fetching Odoo 19, 130 MB")
    _fetch(folder)
    for package in sorted(folder.glob("*.deb")):
        _unpack(package, folder / "root")
        package.unlink()
    _tell("installing what it needs, 250 MB")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    pip = [folder / "venv/bin/python", "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--requirement", HERE / "requirements.txt"], check=True)
    stamp.write_text(wanted)


def _fetch(folder: Path) -> None:
    apt = folder / "apt"
    for part in ("lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True)
    source = apt / "sid.list"
    source.write_text(f"deb [signed-by={_KEYRING}] {_mirror()} sid main\n")
    private = {
        "Dir::Etc::sourcelist": source,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "root",
    }
    options = [f"-o{name}={value}" for name, value in private.items()]
    subprocess.run(["apt-get", "-qq", *options, "update"], check=True)
    for name, version, digest in packages():
        _check_candidate(name, version, options)
        subprocess.run(
            ["apt-get", "-qq", *options, "download", f"{name}={version}"], cwd=folder, check=True
        )
        (package,) = folder.glob(f"{name}_*.deb")
        found = hashlib.sha256(package.read_bytes()).hexdigest()
        if found != digest:
            sys.exit(f"{package.name}: expected SHA-256 {digest}, found {found}; do not use it.")
    shutil.rmtree(apt)


def _check_candidate(name: str, version: str, options: list[str]) -> None:
    told = subprocess.run(
        ["apt-cache", *options, "madison", name], check=True, capture_output=True, text=True
    ).stdout
    offered = [line.split("|")[1].strip() for line in told.splitlines() if "Packages" in line]
    if version not in offered:
        sys.exit(
            f"Debian has moved {name} from {version} to {', '.join(offered) or 'nothing'}: look at"
            " what changed, then pin the new version and its SHA-256 in tests/odoo/packages.txt."
        )


def _mirror() -> str:
    """Where this machine gets Debian from."""
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(RELEASE) $(REPO_URI)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rows = [line.split() for line in told.splitlines()]
    found = sorted({row[2] for row in rows if row[0] == "Debian" and "-" not in row[1]})
    if not found:
        sys.exit("expected a mirror of Debian among this machine's sources; run apt-get update.")
    return found[0]


def _unpack(package: Path, into: Path) -> None:
    into.mkdir(exist_ok=True)
    left_out = [f"--exclude={pattern}" for pattern in _LEFT_OUT]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as tar:
        command = ["tar", "x", "-C", into, "--wildcards", *left_out]
        subprocess.run(command, stdin=tar.stdout, check=True)
    if tar.returncode:
        sys.exit(f"{package.name} cannot be unpacked.")


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    install(FOLDER)
