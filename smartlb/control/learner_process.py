"""The learner's process: telemetry in, snapshots out, at an interval."""

import contextlib
import logging
import os
import select
import signal
import socket
import sys
from collections import Counter
from time import monotonic, time

import numpy as np

from smartlb.config.membership import MembershipReader
from smartlb.config.model import Config
from smartlb.config.numbering import Numbering
from smartlb.control import memory
from smartlb.control.checkpoint_keeper import CheckpointKeeper
from smartlb.core.segment import Segment
from smartlb.learning.cells import DropReason
from smartlb.learning.checkpoint import Names
from smartlb.learning.learner import Learner, LearnerSettings
from smartlb.process.guard import Guard
from smartlb.process.handover import Handover
from smartlb.process.lifetime import orphaned, seldom_collect, tie_to
from smartlb.process.logs import set_up_logging

log = logging.getLogger(__name__)

_NICE = 10

_MOST_FAILURES = 10
"""Turns in a row that may fail; what fails longer than that may do so for ever, and a new process may not."""


class GaveUp(Exception):
    """The learner cannot go on; says why."""


def make_learner(config: Config, numbering: Numbering, version: int) -> Learner:
    """A learner for the pools of `config` that use the learned policy; `version` is the last snapshot's."""
    pools = [numbering.pools[name] for name in _learned_pools(config)]
    settings = LearnerSettings(**config.learner.model_dump(exclude={"interval_s", "stale_after_s", "checkpoint"}))
    return Learner(pools, len(numbering.classes), settings, version, len(numbering.backends))


def names_of(config: Config, numbering: Numbering) -> Names:
    """What the numbers of `make_learner`'s learner are called."""
    members = {name: [numbering.backends[at] for at in numbering.pools[name]] for name in _learned_pools(config)}
    return Names(
        numbering.classes,
        {name: [each.settings.label for each in own if each.present] for name, own in members.items()},
    )


def seat(learner: Learner, config: Config, numbering: Numbering) -> None:
    """Tell `make_learner`'s learner which backends there are now."""
    for number, name in enumerate(_learned_pools(config)):
        learner.seat(number, [(member.index, member.tenancy) for member in numbering.present(name)])


def _learned_pools(config: Config) -> list[str]:
    return [name for name, pool in config.pools.items() if pool.policy.name == "learned"]


class _Signals:
    """Notes SIGTERM and SIGUSR1, and wakes who sleeps here.

    Attributes:
        stop: SIGTERM came.
        remember: SIGUSR1 came: what is known is wanted in `Handover.memory_fd`.
    """

    def __init__(self) -> None:
        self.stop = self.remember = False
        self._awake, writing = socket.socketpair()
        self._awake.setblocking(False)
        writing.setblocking(False)
        signal.set_wakeup_fd(writing.detach())
        signal.signal(signal.SIGTERM, self._note)
        signal.signal(signal.SIGUSR1, self._note)

    def _note(self, number: int, _frame: object) -> None:
        self.stop |= number == signal.SIGTERM
        self.remember |= number == signal.SIGUSR1

    def sleep(self, seconds: float) -> None:
        """Sleep, or not, once one of them came."""
        if not (self.stop or self.remember):
            select.select([self._awake], [], [], max(0.0, seconds))
            with contextlib.suppress(BlockingIOError):
                self._awake.recv(64)


class LearnerDuty:
    """What the process does at each interval: reads telemetry, learns, publishes.

    Args:
        config: of the router.
        numbering: of the same configuration.
        segment: the shared memory.
        handover: what the process was given.
    """

    def __init__(self, config: Config, numbering: Numbering, segment: Segment, handover: Handover) -> None:
        self._config = config
        self._numbering = numbering
        self._segment = segment
        self._memory_fd = handover.memory_fd
        self._readers = [segment.ring_reader(worker) for worker in range(segment.layout.workers)]
        # A writer that died while it published left a version that a reader may have seen: go on beyond it.
        self._learner = make_learner(config, numbering, segment.snapshot.version)
        self._membership = MembershipReader(handover.membership_fd, segment)
        numbering.seat(self._membership.first())
        seat(self._learner, config, numbering)
        self._names = names_of(config, numbering)
        self._keeper = CheckpointKeeper(config.learner.checkpoint, self._names, monotonic, time)
        # The memory of a learner before is fresher than any file, but only for the first process that has it.
        if segment.snapshot.version or not memory.recall(handover.recall_fd, self._learner, self._names):
            self._keeper.restore(self._learner)
        self._lost = 0
        self._dropped: Counter[DropReason] = Counter()
        self._guard = Guard()
        self._failures = 0

    def turn(self, *, remember: bool = False) -> None:
        """Learn from what has come since the last turn, and publish a snapshot.

        An error that nobody foresaw costs this turn's records, not what was learned from all before them.

        Args:
            remember: whether what is known is wanted by the supervisor.

        Raises:
            GaveUp: too many turns failed one after the other.
        """
        failed = True
        with self._guard("learning"):
            self._learn()
            failed = False
        self._failures = self._failures + 1 if failed else 0
        self._segment.learner_errors[0] += failed
        if self._failures >= _MOST_FAILURES:
            raise GaveUp(f"learning failed {self._failures} times in a row; a new learner begins anew")
        if remember:
            with self._guard("handing over what was learned"):
                memory.write(self._memory_fd, self._learner.memory(self._names, time()))
        with self._guard("the checkpoint"):
            self._keeper.save_when_due(self._learner)

    def _learn(self) -> None:
        segment, learner = self._segment, self._learner
        records = np.concatenate([reader.read() for reader in self._readers])
        if members := self._membership.news():
            # After the records, which are of the members so far.
            self._numbering.seat(members)
            seat(learner, self._config, self._numbering)
            self._names = names_of(self._config, self._numbering)
            self._keeper.rename(self._names)
        in_flight = segment.in_flight.sum(axis=0, dtype=np.float64)
        segment.snapshot.publish(learner.update(records, monotonic(), in_flight))
        if (now_lost := sum(reader.lost for reader in self._readers)) != self._lost:
            log.warning("%d telemetry records were overwritten before the learner read them", now_lost - self._lost)
            self._lost = now_lost
        if learner.dropped != self._dropped:
            log.warning("records left out: %s", _by_reason(learner.dropped - self._dropped))
            self._dropped = learner.dropped.copy()

    def end(self) -> None:
        """Keep what is known for the next start."""
        self._keeper.save_at_the_end(self._learner)


def _run(config: Config, numbering: Numbering, segment: Segment, handover: Handover) -> None:
    duty = LearnerDuty(config, numbering, segment, handover)
    signals = _Signals()
    log.info("learner starts after snapshot %d", segment.snapshot.version)
    # Not before: on a busy machine, loading the models at this priority would take longer than a hung one is given.
    _give_way()
    seldom_collect()
    interval_s = config.learner.interval_s
    due_s = monotonic()
    while not (signals.stop or orphaned(handover.supervisor)):
        # A tick that took too long is not made up for.
        due_s = max(due_s, monotonic()) + interval_s
        remember, signals.remember = signals.remember, False
        duty.turn(remember=remember)
        signals.sleep(due_s - monotonic())
    duty.end()


def _by_reason(dropped: Counter[DropReason]) -> str:
    return ", ".join(f"{count} for {reason}" for reason, count in dropped.most_common())


def _give_way() -> None:
    """Let traffic have the core where both want it: a snapshot may be late, a request should not."""
    os.nice(_NICE)
    # A batch process does not push others aside when it wakes up. Not every system has it, or allows it.
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def main() -> None:
    """Run the learner until the supervisor's end, or SIGTERM, after which it keeps what it knows, if told where."""
    handover = Handover.from_command_line("The learner of the router.")
    tie_to(handover.supervisor)
    set_up_logging("learner")
    config = handover.config()
    numbering = Numbering(config)
    try:
        _run(config, numbering, handover.segment(config, numbering), handover)
    except GaveUp as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
