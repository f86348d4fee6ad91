"""Real replicas, a real browser: a file that is published shows on the page of each, a killed peer turns red.

    python3 test_page.py PROGRAM

Ends with 0 when all is as it should be, and with a line that says so; without a browser, it says that.
"""

import contextlib
import hashlib
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

import browser

REPLICAS = 3


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Replica:
    def __init__(self, program, folder):
        self.program, self.folder, self.process = program, folder, None
        self.name, self.settings = f"replica-{folder.name}", []
        (folder / "outbox").mkdir(parents=True)
        made = subprocess.run([program, "keygen", folder / "key"], check=True, capture_output=True, text=True)
        self.id = made.stdout.strip()
        self.address = f"127.0.0.1:{free_port()}"

    def start(self, others):
        config = [f"listen = '{self.address}'", "key_file = 'key'", "store = 'store'", "publish = 'outbox'",
                  "rescan_seconds = 1", "http = '0'", *self.settings]
        for other in [self, *others]:
            config += ["[[peers]]", f"key = '{other.id}'", f"address = '{other.address}'", f"name = '{other.name}'"]
        (self.folder / "config.toml").write_text("\n".join(config))
        log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen([self.program, "run", "--config", self.folder / "config.toml"],
                                        stdout=subprocess.PIPE, stderr=log, text=True)
        ready = self.process.stdout.readline()
        assert ready.startswith("ready: "), f"{ready!r}, {(self.folder / 'log').read_text()}"
        self.page = "http://" + ready.split(" http=")[1].strip() + "/"

    def publish(self, name, content):
        draft = self.folder / "draft"
        draft.write_bytes(content)
        draft.rename(self.folder / "outbox" / name)
        return hashlib.sha256(content).hexdigest()

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()


def follow(page, publisher, others):
    """A file by its name, from the page of its publisher to that of the last of the others."""
    publisher.publish("followed", os.urandom(300_000))
    label = f"{publisher.name}/followed"
    labels = "[...document.querySelectorAll('#recent .id')].map((it) => it.textContent)"
    for replica in [publisher, *others]:
        page.open(replica.page)
        page.wait(f"{replica.name} shows its name", f"{labels}.includes('{label}')")
    # And back, where each of the others says that it has it.
    page.open(publisher.page)
    said = f"document.querySelector('.folder[data-id=\"{publisher.id}\"] .others')?.textContent"
    page.wait("the others say so", f"{said} == 'all {len(others)} peers have all'")
    return said


def test(program, found):
    with contextlib.ExitStack() as ends:
        folder = pathlib.Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="page-test-")))
        replicas = [Replica(program, folder / str(number)) for number in range(REPLICAS)]
        replicas[0].settings = ["max_store_bytes = 1000000"]
        for replica in replicas:
            ends.callback(replica.kill)
            replica.start([other for other in replicas if other is not replica])
        page = browser.Browser(found)
        ends.callback(page.close)
        first, second, third = replicas

        page.open(first.page)
        page.wait("all are connected", "document.querySelectorAll('.peer.ok').length == 2")
        page.wait("it is complete", "document.getElementById('headline').textContent == 'All here'")
        artifact = second.publish("file", os.urandom(200_000))
        page.wait("the file shows", f"document.querySelector('#recent [data-id=\"{artifact}\"]')")
        # The file, and the catalog that names it.
        page.wait("it is counted", "document.getElementById('held-more').textContent.startsWith('2 artifacts')")
        label = f"document.querySelector('#recent [data-id=\"{artifact}\"] .id').textContent"
        page.wait("it is called by its path", f"{label} == '{second.name}/file'")
        row = f"document.querySelector('.folder[data-id=\"{second.id}\"]')"
        page.wait("the folder shows", f"{row}?.querySelector('.share').textContent == 'all here'")
        cells = [page.value(f"{row}.querySelector('.{part}').textContent") for part in ("who", "files", "size")]
        assert cells == [second.name, "1 file", "200 kB"], cells
        assert page.value("document.querySelectorAll('.folder[data-id]').length") == 1
        assert page.value("document.getElementById('id').textContent") == first.name
        said = follow(page, second, [first, third])
        # One for which there is no space on the first: the folder has it, and it does not come.
        second.publish("large", os.urandom(2_000_000))
        page.wait("the first says that it lacks it",
                  f"{said} == '{first.name} lacks 1 file, 2.0 MB; 1 peer has all'")
        page.open(first.page)
        page.wait("it is missing", f"{row}?.querySelector('.share').textContent == '20 %, 1 missing'")
        assert page.value(f"{row}.querySelector('.files').textContent") == "3 files"
        page.wait("there is a point of the last hour",
                  "document.querySelector('#hour-held .line').getAttribute('d')?.startsWith('M')")

        notices = "document.getElementById('notices').textContent"
        assert page.value(notices) == "", page.value(notices)
        first.publish("id.pem", b"-----BEGIN PRIVATE KEY-----\n")
        page.wait("the key is shown", f"{notices}.includes('a private key') && {notices}.includes('id.pem')")
        (first.folder / "outbox" / "id.pem").unlink()
        page.wait("it is gone", f"{notices} == ''")

        row = f"document.querySelector('.peer[data-id=\"{third.id}\"]')"
        colour = f"getComputedStyle({row}, '::before').backgroundColor"
        before = page.value(colour)
        third.kill()
        page.wait("the killed peer is away", f"{row}.classList.contains('bad')")
        fault = page.value("getComputedStyle(document.documentElement).getPropertyValue('--fault').trim()")
        red = "rgb(" + ", ".join(str(int(fault[at:at + 2], 16)) for at in (1, 3, 5)) + ")"
        assert page.value(colour) == red != before, (page.value(colour), red, before)
        page.wait("it is missed", "document.getElementById('subline').textContent.includes('1 peer of 2 away')")

        # On a small screen nothing is wider than the screen.
        page.open(first.page, width=400)
        page.wait("the page is there", "document.querySelectorAll('.peer[data-id]').length == 2")
        wide = page.value("document.documentElement.scrollWidth")
        assert wide <= 400, f"the page is {wide} wide on a screen of 400"

        # A number that no replica has leads to the one that there is.
        page.open(first.page + "#7")
        page.wait("the page is there", "document.querySelectorAll('.peer[data-id]').length == 2")

        # A replica that is gone is said to be.
        first.kill()
        page.wait("the silence is shown", "document.body.classList.contains('stale')")
        # The browser itself tells of connections that fail and of the replica that is not there.
        faults = [fault for fault in page.faults
                  if "net::ERR" not in str(fault) and "status of 404" not in str(fault)]
        assert not faults, faults


def main():
    found = browser.find()
    if not found:
        print("no chromium can be had here: the page is not looked at")
        return
    test(sys.argv[1], found)
    print("the page shows what happens")


if __name__ == "__main__":
    main()
