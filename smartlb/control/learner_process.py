"""The learner's process: telemetry in, snapshots out, at an interval."""

import contextlib
import logging
import os
import select
import signal
import socket
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
from smartlb.process.handover import Handover
from smartlb.process.lifetime import orphaned, seldom_collect, tie_to
from smartlb.process.logs import set_up_logging

log = logging.getLogger(__name__)

_NICE = 10


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


def _run(config: Config, numbering: Numbering, segment: Segment, handover: Handover) -> None:
    readers = [segment.ring_reader(worker) for worker in range(segment.layout.workers)]
    # A writer that died while it published left a version that a reader may have seen: go on beyond it.
    learner = make_learner(config, numbering, segment.snapshot.version)
    membership = MembershipReader(handover.membership_fd, segment)
    numbering.seat(membership.first())
    seat(learner, config, numbering)
    signals = _Signals()
    names = names_of(config, numbering)
    keeper = CheckpointKeeper(config.learner.checkpoint, names, monotonic, time)
    # The memory of a learner before is fresher than any file, but only for the first process that has it.
    if segment.snapshot.version or not memory.recall(handover.recall_fd, learner, names):
        keeper.restore(learner)
    log.info("learner starts after snapshot %d", segment.snapshot.version)
    # Not before: on a busy machine, loading the models at this priority would take longer than a hung one is given.
    _give_way()
    seldom_collect()
    interval_s = config.learner.interval_s
    lost = 0
    dropped: Counter[DropReason] = Counter()
    due_s = monotonic()
    while not (signals.stop or orphaned(handover.supervisor)):
        # A tick that took too long is not made up for.
        due_s = max(due_s, monotonic()) + interval_s
        records = np.concatenate([reader.read() for reader in readers])
        if members := membership.news():
            # After the records, which are of the members so far.
            numbering.seat(members)
            seat(learner, config, numbering)
            names = names_of(config, numbering)
            keeper.rename(names)
        in_flight = segment.in_flight.sum(axis=0, dtype=np.float64)
        segment.snapshot.publish(learner.update(records, monotonic(), in_flight))
        if (now_lost := sum(reader.lost for reader in readers)) != lost:
            log.warning("%d telemetry records were overwritten before the learner read them", now_lost - lost)
            lost = now_lost
        if learner.dropped != dropped:
            log.warning("records left out: %s", _by_reason(learner.dropped - dropped))
            dropped = learner.dropped.copy()
        if signals.remember:
            signals.remember = False
            memory.write(handover.memory_fd, learner.memory(names, time()))
        keeper.save_when_due(learner)
        signals.sleep(due_s - monotonic())
    keeper.save_at_the_end(learner)


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
    _run(config, numbering, handover.segment(config, numbering), handover)


if __name__ == "__main__":
    main()
