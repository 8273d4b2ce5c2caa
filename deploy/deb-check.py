"""Installs a package for Debian, runs what its units say, updates it and removes it: python3 deb-check.py PACKAGE.DEB

All that happens in a copy of this machine's root file system which is thrown away: an overlay in memory, in
namespaces of its own (mounts, network, processes). There is no systemd in it; what the package asks of one is written
down by stand-ins. The units' programs are run as the units say: with their arguments, environment, folders and a user
of their own, the root read-only, and without privileges. Called by deploy/deb, as root.
"""

import gzip
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from checks import INPUT, PATIENCE, compare, inside, mount, stop, until

# Of those that systemd gives to units with a user of their own (DynamicUser): nobody else has them.
USERS = {"tally-master.service": 61200, "tally-slave@.service": 61201}
CONFIG = "etc/tally/tally.toml"
DATA = "var/lib/tally"
# What systemd gives to units, too.
PATH = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
STAND_IN = """#!/bin/sh
echo "${0##*/} $*" >>/run/asked
case "$*" in *list-units*) cat /run/active ;; esac
"""


class Machine:
    """A root file system to which the package is installed."""

    def __init__(self, place: Path) -> None:
        mount("-t", "tmpfs", "throw-away", str(place))
        self.root, self.running = place / "root", place / "running"
        for name in ("changes", "work", "root", "running"):
            (place / name).mkdir()
        layers = f"lowerdir=/,upperdir={place}/changes,workdir={place}/work"
        mount("-t", "overlay", "overlay", "-o", layers, str(self.root))
        mount("-t", "tmpfs", "run", str(self.root / "run"))
        self.mount_devices(self.root)
        for name in ("systemctl", "deb-systemd-invoke"):
            # A new file, not another content of what may be a link to it.
            (self.root / "usr/bin" / name).unlink(missing_ok=True)
            (self.root / "usr/bin" / name).write_text(STAND_IN)
            (self.root / "usr/bin" / name).chmod(0o755)
        # The sign of a systemd that runs.
        (self.root / "run/systemd/system").mkdir(parents=True)
        self.active()

    def mount_devices(self, root: Path) -> None:
        mount("-t", "proc", "proc", str(root / "proc"))
        mount("--rbind", "/dev", str(root / "dev"))

    def active(self, *units: str) -> None:
        """Has systemd say that these run."""
        lines = [f"{unit} loaded active running it\n" for unit in units]
        (self.root / "run/active").write_text("".join(lines))
        self.forget()

    def forget(self) -> None:
        (self.root / "run/asked").write_text("")

    def asked(self) -> list[str]:
        """What was asked of systemd, questions left out."""
        lines = (self.root / "run/asked").read_text().splitlines()
        return [line for line in lines if "list-units" not in line]

    def sh(self, *command: str) -> str:
        done = subprocess.run(
            ["chroot", str(self.root), *command],
            env=PATH | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def install(self, package: Path) -> str:
        (self.root / "run/tally.deb").write_bytes(package.read_bytes())
        return self.sh("dpkg", "-i", "/run/tally.deb")

    def has(self, path: str) -> bool:
        return (self.root / path).exists()


class Unit:
    """What systemd would make of a unit's file."""

    def __init__(self, machine: Machine, name: str, instance: str = "") -> None:
        self.machine, self.user = machine, USERS[name]
        self.settings: dict[str, list[str]] = {}
        for line in (machine.root / "usr/lib/systemd/system" / name).read_text().splitlines():
            if "=" in line and not line.startswith("#"):
                key, value = line.split("=", 1)
                for letter, meaning in (("%H", socket.gethostname()), ("%i", instance)):
                    value = value.replace(letter, meaning)
                self.settings.setdefault(key, []).append(value)
        self.env = PATH | dict(pair.split("=", 1) for pair in self.settings["Environment"])
        for file in self.settings["EnvironmentFile"]:
            path = machine.root / file.removeprefix("-").lstrip("/")
            if path.exists() or not file.startswith("-"):
                self.env |= dict(line.split("=", 1) for line in path.read_text().splitlines() if line)

    def make_folders(self) -> None:
        for name in self.settings.get("StateDirectory", []):
            folder = self.machine.root / "var/lib" / name
            folder.mkdir(mode=int(self.settings["StateDirectoryMode"][0], 8))
            os.chown(folder, self.user, self.user)

    def start(self, *command: str) -> subprocess.Popen:
        """Its program, or another one as its user and in its environment."""
        words = list(command) or self.settings["ExecStart"][0].split()
        as_user = ["setpriv", "--no-new-privs", "--bounding-set", "-all", f"--reuid={self.user}",
                   f"--regid={self.user}", "--clear-groups"]
        # chroot needs a privilege, and so comes first.
        return subprocess.Popen(["chroot", str(self.machine.running), *as_user, *words], env=self.env)

    def run(self, *command: str) -> None:
        ended = self.start(*command).wait(timeout=PATIENCE)
        if ended != 0:
            sys.exit(f"{' '.join(command)} ended with {ended}")


def wrong(what: str) -> None:
    sys.exit(f"the package: {what}")


def check_installed(machine: Machine) -> None:
    if machine.asked() != ["systemctl daemon-reload"]:
        wrong(f"installing it asked for {machine.asked()}")
    enabled = list((machine.root / "etc/systemd/system").glob("*.wants/tally-*"))
    if enabled:
        wrong(f"{enabled} are enabled")
    if machine.has(DATA):
        wrong(f"{DATA} is there before a master has run")
    commands = re.findall(r"^  (\w+) ", machine.sh("tally", "--help").split("Options:")[0], re.MULTILINE)
    for name in commands:
        page = machine.root / f"usr/share/man/man1/tally-{name}.1.gz"
        if name != "help" and b".SH SYNOPSIS" not in gzip.decompress(page.read_bytes()):
            wrong(f"there is no manual page of tally {name}")
    machine.sh("bash", "-n", "/usr/share/bash-completion/completions/tally")
    for script in ("zsh/vendor-completions/_tally", "fish/vendor_completions.d/tally.fish"):
        if "submit" not in (machine.root / "usr/share" / script).read_text():
            wrong(f"{script} completes nothing")
    print(f"installed, with {len(commands)} commands that have manual pages; nothing is enabled or started", flush=True)


def check_units(machine: Machine) -> None:
    master, slave = Unit(machine, "tally-master.service"), Unit(machine, "tally-slave@.service", "1")
    master.make_folders()
    slave.make_folders()
    # ProtectSystem=strict, StateDirectory and PrivateTmp.
    mount("--bind", str(machine.root), str(machine.running))
    machine.mount_devices(machine.running)
    mount("-o", "remount,bind,ro", str(machine.running))
    mount("-t", "tmpfs", "-o", "mode=1777", "tmp", str(machine.running / "tmp"))
    mount("--bind", str(machine.root / DATA), str(machine.running / DATA))

    processes = {"slave": slave.start(), "master": master.start()}
    name = f"{socket.gethostname()}-1"
    until("the slave has joined", lambda: name in subprocess.run(
        ["chroot", str(machine.running), "/usr/bin/tally", "slaves", "--output", "json"],
        env=PATH, capture_output=True, text=True, check=False,
    ).stdout)
    (machine.running / "tmp/plays.csv").write_bytes(INPUT.read_bytes())
    master.run("/usr/bin/tally", "submit", "/tmp/plays.csv", "--wait", "-o", "/tmp/totals.csv")
    compare((machine.running / "tmp/totals.csv").read_bytes())
    stop(**processes)
    if (machine.root / DATA).stat().st_mode & 0o777 != 0o700:
        wrong("others can look into the data folder")


def check_update(machine: Machine, package: Path) -> None:
    config = machine.root / CONFIG
    mine = config.read_text() + "\n# Mine.\n"
    config.write_text(mine)
    units = ["tally-master.service", "tally-slave@1.service"]
    machine.active(*units)
    machine.install(package)
    if machine.asked() != ["systemctl daemon-reload", f"deb-systemd-invoke restart {' '.join(units)}"]:
        wrong(f"its update asked for {machine.asked()}")
    config.write_text("[master]\ngrcp = 1\n")
    machine.forget()
    said = machine.install(package)
    if machine.asked() != ["systemctl daemon-reload"] or "goes on as the old one" not in said:
        wrong(f"its update with settings that it can not read asked for {machine.asked()}, and said {said}")
    config.write_text(mine)
    machine.install(package)
    if config.read_text() != mine:
        wrong("its update has overwritten settings")
    print("an update starts what runs anew, unless the settings are wrong, and leaves settings alone", flush=True)


def check_removal(machine: Machine) -> None:
    machine.active("tally-slave@1.service")
    machine.sh("dpkg", "-r", "tally")
    if machine.asked() != ["deb-systemd-invoke stop tally-slave@1.service", "systemctl daemon-reload"]:
        wrong(f"its removal asked for {machine.asked()}")
    if machine.has("usr/bin/tally") or not machine.has(CONFIG):
        wrong("its removal left the program, or took the settings")
    said = machine.sh("dpkg", "-P", "tally")
    if machine.has("etc/tally") or machine.has("usr/share/doc/tally"):
        wrong("a purge left something of it")
    if not machine.has(f"{DATA}/tally.db") or "are still in /var/lib/tally" not in said:
        wrong(f"a purge took the data, or did not say where they are: {said}")
    print("removed; a purge takes the settings, and leaves the data and says so", flush=True)


def check(package: Path) -> None:
    place = package.parent / "machine"
    place.mkdir(exist_ok=True)
    machine = Machine(place)
    machine.install(package)
    check_installed(machine)
    check_units(machine)
    # What is mounted there would be in dpkg's way.
    subprocess.run(["umount", "--recursive", str(machine.running)], check=True)
    check_update(machine, package)
    check_removal(machine)


if __name__ == "__main__":
    inside(lambda: check(Path(sys.argv[1]).resolve()))
