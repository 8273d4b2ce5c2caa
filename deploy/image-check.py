"""Lets an image count, as a container would run it: python3 image-check.py ROOT IMAGE.JSON

ROOT is the image's file system, IMAGE.JSON what buildah says of it. The processes get namespaces of their own
(mounts, network, processes), the root read-only, the volume as the only place to write to, the image's user, its
environment and its entry point, and no privileges. Called by deploy/image, as root.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from checks import INPUT, PATIENCE, compare, inside, mount, stop, until


class Container:
    """What a runtime would make of the image."""

    def __init__(self, root: Path, image: dict) -> None:
        config = image["Docker"]["config"]
        self.entrypoint: list[str] = config["Entrypoint"]
        self.env = dict(pair.split("=", 1) for pair in config["Env"])
        self.user: str = config["User"]
        self.volume = next(iter(config["Volumes"]))
        self.health: list[str] = config["Healthcheck"]["Test"]
        self.root = root

    def prepare(self) -> None:
        """Mounts, in a namespace of our own."""
        user, group = self.user.split(":")
        # A runtime brings these; in an image from scratch it makes the folders, too.
        for name in ("proc", "dev"):
            (self.root / name).mkdir(exist_ok=True)
        mount("--bind", str(self.root), str(self.root))
        mount("-t", "proc", "proc", str(self.root / "proc"))
        mount("-t", "tmpfs", "-o", f"uid={user},gid={group},mode=700", "data", str(self.root) + self.volume)
        mount("-o", "remount,bind,ro,nosuid,nodev", str(self.root))

    def start(self, *args: str, **env: str) -> subprocess.Popen:
        command = ["setpriv", "--no-new-privs", "chroot", f"--userspec={self.user}", "--groups=", str(self.root)]
        return subprocess.Popen([*command, *self.entrypoint, *args], env=self.env | env)

    def run(self, *args: str, **env: str) -> None:
        ended = self.start(*args, **env).wait(timeout=PATIENCE)
        if ended != 0:
            sys.exit(f"tally {' '.join(args)} ended with {ended}")


def check(container: Container) -> None:
    container.prepare()
    volume = Path(str(container.root) + container.volume)

    for place in ("/usr/bin/new", "/new", "/tmp/new"):
        try:
            (Path(str(container.root) + place)).write_text("")
        except OSError:
            continue
        sys.exit(f"{place} can be written to: the root is not read-only")

    container.run("--version")
    master = container.start("master")
    slave = container.start("slave", "--name", "image")
    joined = ["slaves", "--output", "json"]
    until(
        "the slave has joined",
        lambda: "image" in subprocess.run(
            ["chroot", str(container.root), *container.entrypoint, *joined],
            env=container.env, capture_output=True, text=True, check=False,
        ).stdout,
    )
    # As it is written: CMD, the entry point's file, and its arguments.
    container.run(*container.health[2:])

    (volume / "plays.csv").write_bytes(INPUT.read_bytes())
    os.chmod(volume / "plays.csv", 0o644)
    at = container.volume
    container.run("submit", f"{at}/plays.csv", "--wait", "-o", f"{at}/totals.csv")
    compare((volume / "totals.csv").read_bytes())
    stop(slave=slave, master=master)


def main() -> None:
    root, image = Path(sys.argv[1]).resolve(), json.loads(Path(sys.argv[2]).read_text())
    inside(lambda: check(Container(root, image)))


if __name__ == "__main__":
    main()
