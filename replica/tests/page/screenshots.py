"""Makes the screenshots of the documentation: quiet, busy and spreading, wide and narrow, light and dark.

    python3 screenshots.py PROGRAM FOLDER

Five replicas. Busy means: thousands of files are published, a peer is killed, unlisted peers try to connect. Spreading
is a demo to watch, of 500 files on four replicas.
"""

import contextlib
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import browser
from test_page import Replica

LOOKS = {"wide-light": (1400, False), "wide-dark": (1400, True), "narrow-light": (400, False),
         "narrow-dark": (400, True)}
SPREAD_LOOKS = {"1280-light": (1280, False), "1280-dark": (1280, True), "800-light": (800, False),
                "800-dark": (800, True)}


def shoot(page, url, folder, name, looks=LOOKS):
    for look, (width, dark) in looks.items():
        page.open(url, width=width, dark=dark)
        page.wait("it is drawn", "document.querySelectorAll('.peer[data-id]').length > 0")
        time.sleep(1.5)
        page.screenshot(folder / f"{name}-{look}.png")


def spread(program, folder):
    with contextlib.ExitStack() as ends:
        files = pathlib.Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="page-shots-")))
        for number in range(500):
            file = files / random.choice(["documents", "mail", "music", "photos"]) / f"file {number}"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(os.urandom(random.randrange(2_000, 100_000)))
        # Without a display no other browser is opened.
        environment = {name: value for name, value in os.environ.items() if "DISPLAY" not in name}
        demo = subprocess.Popen([program, "demo", "--watch", "--replicas", "4", "--dir", files], env=environment,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        ends.callback(demo.wait)
        ends.callback(demo.terminate)
        url = demo.stderr.readline().removeprefix("page: ").strip()
        page = browser.Browser(browser.find())
        ends.callback(page.close)
        page.open(url)
        page.wait("half of it is there", "document.getElementById('progress').value > 0.5")
        page.wait("there is a history", "document.getElementById('hour-more').textContent.startsWith('30 s')")
        shoot(page, url, folder, "spread", SPREAD_LOOKS)


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    spread(program, folder)
    with contextlib.ExitStack() as ends:
        scratch = pathlib.Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="page-shots-")))
        replicas = [Replica(program, scratch / str(number)) for number in range(8)]
        replicas, strangers = replicas[:5], replicas[5:]
        for replica in replicas:
            ends.callback(replica.kill)
            replica.start([other for other in replicas if other is not replica])
        page = browser.Browser(browser.find())
        ends.callback(page.close)
        first = replicas[0]
        for number in range(12):
            replicas[number % 5].publish(f"file {number}", os.urandom(random.randrange(20_000, 9_000_000)))
        page.open(first.page)
        shares = "[...document.querySelectorAll('.folder[data-id] .share')].map((it) => it.textContent).join()"
        page.wait("all is there", f"{shares} == '{','.join(['all here'] * 5)}'")
        time.sleep(12)
        shoot(page, first.page, folder, "quiet")

        replicas[4].kill()
        for stranger in strangers:
            ends.callback(stranger.kill)
            stranger.start(replicas)
        page.wait("it is missed", "document.querySelector('.peer.bad')")
        for number in range(int(os.environ.get("FILES", "1500"))):
            replicas[1 + number % 3].publish(f"small {number}", os.urandom(random.randrange(200, 40_000)))
        for number in range(4):
            replicas[1 + number % 3].publish(f"large {number}", os.urandom(40_000_000))
        page.open(first.page)
        page.wait("something moves", "document.querySelectorAll('.download').length > 1")
        shoot(page, first.page, folder, "busy")


if __name__ == "__main__":
    main()
