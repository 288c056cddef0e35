"""Hold the locked packages against the known vulnerabilities: pip-audit on what uv exports.

A mirror of PyPI without its vulnerability service answers "not found" for every package, and
pip-audit then ends as if all were well. So what was really audited is counted: none is "skipped",
some is said, and only a vulnerability that was found fails.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

EXPORT = ["uv", "export", "--locked", "--no-hashes", "--no-emit-project", "--quiet", "-o"]
AUDIT = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--format", "json", "-r"]
SERVICES = ("pypi", "osv")
TIMEOUT_SECONDS = 300


def main() -> int:
    """Return 1 if a package is vulnerable, else 0."""
    with tempfile.TemporaryDirectory() as folder:
        locked = Path(folder) / "requirements.txt"
        subprocess.run([*EXPORT, str(locked)], check=True, stdout=subprocess.DEVNULL)
        said = ""
        for service in SERVICES:
            done = subprocess.run(
                [*AUDIT, str(locked), "--vulnerability-service", service],
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
            code, said = conclusion(done.stdout, done.stderr)
            if code is not None:
                print(said)
                return code
    print(f"skipped: not reachable: {said}")
    return 0


def conclusion(output: str, errors: str) -> tuple[int | None, str]:
    """Return the exit code and what to say; None if nothing was audited.

    Args:
        output: pip-audit's JSON.
        errors: What it wrote beside that.
    """
    try:
        packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError):
        lines = errors.strip().splitlines()
        return None, lines[-1][:300] if lines else "pip-audit said nothing"
    audited = [package for package in packages if "skip_reason" not in package]
    if not audited:
        return None, packages[0]["skip_reason"] if packages else "no packages"
    found = [
        f"{package['name']} {package['version']}: {fault['id']}, "
        f"mended in {', '.join(fault['fix_versions']) or 'no version yet'}"
        for package in audited
        for fault in package["vulns"]
    ]
    summary = f"{len(audited)} of {len(packages)} locked packages audited, {len(found)} faults"
    return int(bool(found)), "\n".join([*found, summary])


if __name__ == "__main__":
    sys.exit(main())
