"""Makes the screenshots of the documentation: quiet and busy, wide and narrow, light and dark.

    python3 screenshots.py PROGRAM FOLDER

Five replicas. Busy means: thousands of files are published, a peer is killed, strangers knock.
"""

import contextlib
import os
import pathlib
import random
import sys
import tempfile
import time

import browser
from test_page import Replica

LOOKS = {"wide-light": (1400, False), "wide-dark": (1400, True), "narrow-light": (400, False),
         "narrow-dark": (400, True)}


def shoot(page, url, folder, name):
    for look, (width, dark) in LOOKS.items():
        page.open(url, width=width, dark=dark)
        page.wait("it is drawn", "document.querySelectorAll('.peer[data-id]').length > 0")
        time.sleep(1.5)
        page.screenshot(folder / f"{name}-{look}.png")


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
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
