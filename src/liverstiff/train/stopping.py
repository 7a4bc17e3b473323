"""A job that is told to end saves first: SIGTERM, and SIGUSR1 as SLURM sends it before its time is over."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Stopped:
    """Which signal came."""

    number: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Keep it; the loop looks after every step."""
        self.number = number

    def exit(self) -> None:
        """End as a job that failed, so that it is run again.

        Raises:
            SystemExit: with 128 and the signal's number, as a shell tells it.
        """
        number = signal.Signals(self.number or signal.SIGTERM)
        print(f"train: saved after {number.name}; run again to go on", flush=True)
        raise SystemExit(128 + number)


@contextmanager
def stop_on_signals() -> Iterator[Stopped]:
    """Catch the signals while the block runs; only a main thread can."""
    stopped = Stopped()
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, stopped) for number in SIGNALS} if main else {}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
