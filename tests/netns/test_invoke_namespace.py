"""Other people's plugins run in the caller's network namespace, whatever namespace the engine lives in."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from conftest import PrivateNetns

from pycni.execute import execute
from pycni.kernel.netns import THREAD_NETNS


def test_the_child_is_in_the_callers_namespace_and_we_are_not(
    netns: Callable[[], PrivateNetns], tmp_path: Path
) -> None:
    plugin = tmp_path / "plugin"
    plugin.write_text("#!/bin/sh\nexec /usr/bin/stat -Lc %i /proc/self/ns/net\n")
    plugin.chmod(0o755)
    callers = [netns() for _ in range(4)]
    home = os.stat(THREAD_NETNS).st_ino
    seen: dict[int, tuple[int, int]] = {}

    def worker(number: int, caller: PrivateNetns) -> None:
        namespace = caller.namespace()
        for _ in range(5):
            done = execute(str(plugin), {}, b"", namespace.entered)
            seen[number] = (int(done.stdout), os.stat(THREAD_NETNS).st_ino)

    threads = [threading.Thread(target=worker, args=pair) for pair in enumerate(callers)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert seen == {number: (os.fstat(each.fd).st_ino, home) for number, each in enumerate(callers)}
    assert int(execute(str(plugin), {}, b"").stdout) == home
