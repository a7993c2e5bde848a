"""Subscriptions: a thread that pulls notifications, and sleeps until the log has grown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from eventsourcing.persistence import ApplicationRecorder, ListenNotifySubscription

from backstory.infrastructure.recording.log import Log

#: How long one sleep lasts where nothing wakes it, seconds.
_LONGEST_SLEEP_S: Final = 1.0
_ENDING_S: Final = 0.01


class LogSubscription(ListenNotifySubscription[ApplicationRecorder]):
    """An iterator of notifications that waits for more. Leave it by `with`, or `stop` it: its thread ends."""

    def __init__(self, recorder: ApplicationRecorder, log: Log, *, gt: int | None, topics: Sequence[str]) -> None:
        self._log = log  # before the thread, which the base starts
        super().__init__(recorder, gt, topics)

    def _loop_on_pull(self) -> None:
        """Pull, sleep until the log is past what was there before the pull, and so on: nothing is missed."""
        log = self._log
        try:
            while not self._has_been_stopped:
                seen = log.head()
                self._pull()
                if not self._has_been_stopped:
                    log.wait(seen, _LONGEST_SLEEP_S)
        except BaseException as error:  # noqa: BLE001 - whoever iterates must hear of it
            if self._thread_error is None:
                self._thread_error = error
            self.stop()

    def stop(self) -> None:
        """Stop iterating, and let the thread end."""
        super().stop()
        self._log.wake()

    def __exit__(self, *args: object, **kwargs: Any) -> None:
        self.stop()
        # A wake between the thread's last look and its sleep is lost: wake it until it has ended.
        while self._pull_thread.is_alive():
            self._log.wake()
            self._pull_thread.join(_ENDING_S)
        super().__exit__(*args, **kwargs)
