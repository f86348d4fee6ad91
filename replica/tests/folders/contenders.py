"""Those who keep four folders as a fifth one is: replicas, Syncthing, rsync. All on 127.0.0.1.

A contender has a `source`, four `targets` and the `homes` in which a receiver keeps all that it has; it is started with
an empty source, told by `changed` that the source has changed, and asked by `step` whether it still works.
"""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from measure import Usage, tree
from replica_process import Failed, Replica, free_port, program, until

RECEIVERS = 4
HOST = "127.0.0.1"
CONNECT_SECONDS = 180
END_SECONDS = 30


def run(arguments, log, **more):
    """Starts a process in a group of its own, which ends by `end`."""
    with open(log, "ab") as file:
        return subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            **more,
        )


def end(process):
    """Ends a process of `run` with all that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(END_SECONDS)
        except ProcessLookupError:
            pass
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def last_lines(log):
    return "".join(f"\n    {line}" for line in log.read_text(errors="replace").splitlines()[-8:])


class FolderReplica(Replica):
    """A replica as its users configure it: all at its default but how long a file has to settle."""

    def configure(self, peers, what):
        lines = [f'listen = "{HOST}:{self.address[1]}"', 'key_file = "replica.key"', 'store = "store"', what]
        for peer in peers:
            lines += ["[[peers]]", f'key = "{peer.id}"', f'address = "{HOST}:{peer.address[1]}"']
        (self.folder / "replica.toml").write_text("\n".join(lines) + "\n")


class Replicas:
    name = "replica"
    copies = 2 * (1 + RECEIVERS)  # Each has a store beside its folder.

    @staticmethod
    def unavailable():
        try:
            program()
        except Failed as failure:
            return str(failure)
        return None

    def start(self, folder):
        self.replicas = []
        for number in range(1 + RECEIVERS):
            self.replicas.append(FolderReplica(folder, f"replica-{number}"))
        first, *others = self.replicas
        self.source = first.outbox
        self.homes = [replica.folder for replica in others]
        self.targets = [replica.folder / "export" / first.id[:16] for replica in others]
        for replica in self.replicas:
            peers = [peer for peer in self.replicas if peer is not replica]
            work = 'publish = "outbox"' if replica is first else 'export = "export"'
            # It may be a mount point, so a replica does not make it.
            (replica.folder / "export").mkdir(parents=True, exist_ok=True)
            replica.configure(peers, "settle_seconds = 1\n" + work)
            replica.start()
        self.publisher, *self.receivers = (Usage(replica.process) for replica in self.replicas)

    def changed(self):
        pass

    def step(self):
        for replica in self.replicas:
            if not replica.is_running():
                raise Failed(f"{replica.name} has ended{replica.last_log()}")

    def rest(self):
        pass

    def complaints(self):
        """What the logs say that is no information."""
        lines = [line for replica in self.replicas for line in replica.log().splitlines()]
        return [line for line in lines if " WARN " in line or " ERROR " in line]

    def stop(self):
        for replica in getattr(self, "replicas", []):
            replica.kill()


class Syncthing:
    name = "syncthing"
    copies = 1 + RECEIVERS

    @staticmethod
    def unavailable():
        return None if shutil.which("syncthing") else "there is no syncthing: apt-get install syncthing"

    def start(self, folder):
        self.instances = []
        for number in range(1 + RECEIVERS):
            self.instances.append(SyncthingInstance(folder / f"syncthing-{number}"))
        first, *others = self.instances
        self.source = first.shared
        self.homes = [instance.home for instance in others]
        self.targets = [instance.shared for instance in others]
        for instance in self.instances:
            instance.configure(self.instances, "sendonly" if instance is first else "receiveonly")
            instance.start()
        for instance in self.instances:
            until("all instances of syncthing are connected", instance.is_connected, CONNECT_SECONDS)
        self.publisher, *self.receivers = (Usage(instance.process) for instance in self.instances)

    def changed(self):
        pass

    def step(self):
        for instance in self.instances:
            if instance.process.poll() is not None:
                raise Failed(f"syncthing has ended{last_lines(instance.log)}")

    def rest(self):
        """Waits until each says that it has nothing to do."""
        for instance in self.instances:
            until("syncthing is idle", instance.is_complete, CONNECT_SECONDS)

    def complaints(self):
        lines = [line for instance in self.instances for line in instance.log.read_text().splitlines()]
        return [line for line in lines if "WARNING" in line and "privileged" not in line]

    def stop(self):
        for instance in getattr(self, "instances", []):
            if instance.process is not None:
                end(instance.process)


class SyncthingInstance:
    # What reaches beyond this machine, or would change under the measurement, is off. It may look for its peers more
    # often, since they start at the same time, and it does not step back behind others, which the replica does not.
    OPTIONS = {
        "globalAnnounceEnabled": "false",
        "localAnnounceEnabled": "false",
        "relaysEnabled": "false",
        "natEnabled": "false",
        "announceLANAddresses": "false",
        "crashReportingEnabled": "false",
        "urAccepted": "-1",
        "autoUpgradeIntervalH": "0",
        "startBrowser": "false",
        "reconnectionIntervalS": "5",
        "setLowPriority": "false",
    }

    def __init__(self, home):
        self.process = None
        self.home = home
        self.shared = home / "shared"
        self.shared.mkdir(parents=True)
        (self.shared / ".stfolder").mkdir()
        self.log = home / "log"
        self.state = home / "state"
        self.port = free_port(HOST, socket.SOCK_STREAM)
        self.api_port = free_port(HOST, socket.SOCK_STREAM)
        self.environment = dict(os.environ, HOME=str(home), STNOUPGRADE="1")
        base = ["syncthing", "generate", "--no-default-folder", "--skip-port-probing", f"--home={self.state}"]
        made = subprocess.run(base, env=self.environment, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise Failed(f"syncthing generates no configuration: {made.stdout}{made.stderr}")
        self.config = ElementTree.parse(self.state / "config.xml")
        self.id = self.config.find("device").get("id")
        self.key = self.config.findtext("gui/apikey")

    def configure(self, instances, kind):
        root = self.config.getroot()
        for device in root.findall("device"):
            root.remove(device)
        shared = ElementTree.SubElement(
            root, "folder", id="bench", label="bench", path=str(self.shared), type=kind, fsWatcherEnabled="true",
            fsWatcherDelayS="1", rescanIntervalS="3600",
        )  # fmt: skip
        for instance in instances:
            ElementTree.SubElement(shared, "device", id=instance.id)
            device = ElementTree.SubElement(root, "device", id=instance.id, name=instance.home.name)
            ElementTree.SubElement(device, "address").text = f"tcp://{HOST}:{instance.port}"
        root.find("gui/address").text = f"{HOST}:{self.api_port}"
        options = root.find("options")
        for name, value in {"listenAddress": f"tcp://{HOST}:{self.port}", **self.OPTIONS}.items():
            option = options.find(name)
            if option is None:
                option = ElementTree.SubElement(options, name)
            option.text = value
        self.config.write(self.state / "config.xml")

    def start(self):
        arguments = ["syncthing", "serve", "--no-browser", "--no-restart", f"--home={self.state}"]
        self.process = run(arguments, self.log, env=self.environment)

    def ask(self, path):
        """What it answers over its REST interface; `None` if it cannot be reached."""
        connection = http.client.HTTPConnection(HOST, self.api_port, timeout=20)
        try:
            connection.request("GET", path, headers={"X-API-Key": self.key})
            answer = connection.getresponse()
            return json.load(answer) if answer.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def is_connected(self):
        if self.process.poll() is not None:
            raise Failed(f"syncthing has ended{last_lines(self.log)}")
        answer = self.ask("/rest/system/connections") or {}
        return sum(peer["connected"] for peer in answer.get("connections", {}).values()) == RECEIVERS

    def is_complete(self):
        status = self.ask("/rest/db/status?folder=bench") or {}
        return status.get("state") == "idle" and status.get("needTotalItems") == 0


class Rsync:
    """A daemon and four pulls. Nobody looks for changes: somebody has to call it."""

    copies = 1 + RECEIVERS

    def __init__(self, name, at_once):
        self.name = name
        self.at_once = at_once

    @staticmethod
    def unavailable():
        return None if shutil.which("rsync") else "there is no rsync: apt-get install rsync"

    def start(self, folder):
        self.source = folder / "source"
        self.source.mkdir()
        self.log = folder / "log"
        self.homes = self.targets = [folder / f"target-{number}" for number in range(RECEIVERS)]
        self.port = free_port(HOST, socket.SOCK_STREAM)
        config = folder / "rsyncd.conf"
        owner = "uid = 0\ngid = 0\n" if os.geteuid() == 0 else ""
        config.write_text(f"use chroot = no\n{owner}reverse lookup = no\n[source]\npath = {self.source}\n")
        daemon = ["rsync", "--daemon", "--no-detach", f"--config={config}", f"--address={HOST}", f"--port={self.port}"]
        self.publisher = Usage(run(daemon, self.log))
        self.receivers = [Usage() for _ in self.targets]
        self.waiting = []
        until("rsync listens", self.listens, CONNECT_SECONDS)

    def listens(self):
        self.step()
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0

    def changed(self):
        self.waiting = list(zip(self.receivers, self.targets))
        self.step()

    def step(self):
        if self.publisher.process.poll() is not None:
            raise Failed(f"the rsync daemon has ended{last_lines(self.log)}")
        self.publisher.look()
        for receiver in self.receivers:
            receiver.look()
            if receiver.process is not None and receiver.has_ended():
                status, receiver.process = receiver.process.returncode, None
                if status != 0:
                    raise Failed(f"rsync ends with status {status}{last_lines(self.log)}")
        while self.waiting and sum(receiver.process is not None for receiver in self.receivers) < self.at_once:
            receiver, target = self.waiting.pop(0)
            pull = ["rsync", "-a", "--delete", f"rsync://{HOST}:{self.port}/source/", target]
            receiver.process = run(pull, self.log)

    def rest(self):
        def is_done():
            self.step()
            is_pulling = any(receiver.process for receiver in self.receivers)
            return not is_pulling and tree(self.publisher.process.pid) == [self.publisher.process.pid]

        until("rsync has ended", is_done, CONNECT_SECONDS)

    def complaints(self):
        return []

    def stop(self):
        for usage in [getattr(self, "publisher", Usage()), *getattr(self, "receivers", [])]:
            if usage.process is not None and usage.process.returncode is None:
                end(usage.process)


def all_of_them():
    """In the order of the first round. The last is the floor: what a copy costs."""
    return [Replicas(), Syncthing(), Rsync("rsync, in turn", 1), Rsync("rsync, side by side", RECEIVERS)]
