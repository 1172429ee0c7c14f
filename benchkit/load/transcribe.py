"""Tape -> records, beside the run, in a process of its own at the lowest priority.

``python -m benchkit.load.transcribe FOLDER WORKER [ordinary]``. It follows the tape until its end. When
stdin ends, its parent is gone: it follows on until the worker, which drains, is gone too, and then ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import time
from pathlib import Path
from typing import Any

from benchkit.load.priority import give_way_to_all
from benchkit.load.transcriber import Transcriber
from benchkit.records.atomic import is_disk_full

_POLL_S = 0.1
_SAY_S = 0.5


def transcribe(folder: Path, worker: int, *, repeat: int) -> dict[str, Any]:
    """Transcribes what is left of a dead worker's tape, in this process.

    Returns:
        ``facts`` as ``Transcriber.facts``, and CLOCK_MONOTONIC ``start_ns``, ``window_ns``, ``window_end_ns``
        (0 where the worker did not live to tell) and ``last_ns``, the newest record's time.
    """
    transcriber = Transcriber(folder, worker, repeat=repeat)
    transcriber.advance()
    facts = transcriber.finish()
    state = transcriber.state
    return {
        "facts": facts,
        "start_ns": state.start_ns,
        "window_ns": state.facts.get("window_ns", 0),
        "window_end_ns": state.facts.get("window_end_ns", 0),
        "last_ns": state.caught_up_ns or state.start_ns,
    }


def main(arguments: list[str]) -> int:
    """Follows one worker until its tape is closed or the worker is gone."""
    if arguments[2:] != ["ordinary"]:
        give_way_to_all()
    transcriber = Transcriber(Path(arguments[0]), int(arguments[1]))
    try:
        behind_max_ns = _follow(transcriber)
        facts = transcriber.finish()
    except OSError as error:
        _say("failed", disk_full=is_disk_full(error), text=str(error))
        return 1
    _say("facts", **facts, transcriber_behind_max_ns=behind_max_ns)
    return 0


def _follow(transcriber: Transcriber) -> int:
    """Reads along until the tape is closed or its worker is gone; returns how far it fell behind, in ns."""
    parent_lives = True
    said = time.monotonic()
    behind_max_ns = 0
    while True:
        started = bool(transcriber.state.caught_up_ns)
        worker_lives = parent_lives or _lives(transcriber.state.facts.get("pid"))
        transcriber.advance()
        if started:
            behind_max_ns = max(behind_max_ns, transcriber.behind_ns())
        # Asked before the last look at the tape: what the worker wrote until its death has then been read.
        if transcriber.state.closed or not worker_lives:
            return behind_max_ns
        now = time.monotonic()
        if now - said >= _SAY_S:
            said = now
            _say("live", **transcriber.live())
        if not parent_lives:
            time.sleep(_POLL_S)
        elif select.select([0], [], [], _POLL_S)[0] and not os.read(0, 4096):
            parent_lives = False


def _lives(pid: int | None) -> bool:
    """Whether the worker runs on: it drains when its parent, who held our stdin, has died."""
    import psutil

    if pid is None:
        return False
    with contextlib.suppress(psutil.Error):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def _say(event: str, **facts: Any) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps({"event": event, **facts}), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
