"""Everything on one machine: started in order, kept running, stopped in order."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable

from services import installation
from services.installation import Installation
from services.local import organization, plan, postgres, processes
from services.local.directory import DataDirectory, last_lines
from services.local.part import Keeper, Part
from services.local.plan import LOCAL, ORGANIZATION, Options, Plan
from shared.database import migrate
from shared.errors import RegularsError, SetupError
from shared.kafka import create_topics
from shared.settings import Settings, load
from shared.wording import counted

START_SECONDS = 180.0
TRIES = 3  # a part that ended so often before it ever worked will not start by patience
SET_UP_WRONG = 2  # how our commands end when the settings or the machine stand in the way: that does not pass
POLL_SECONDS = 0.05

Say = Callable[[str], None]


class Supervisor:
    """`run` returns after `stop`, which any thread or signal handler may call."""

    def __init__(self, options: Options, say: Say) -> None:
        self._options = options
        self._say = say
        self._stop = threading.Event()
        self._keepers: list[Keeper] = []
        self._phase = "starting"
        self._writing = threading.Lock()
        self._directory: DataDirectory
        self._plan: Plan

    def stop(self) -> None:
        self._stop.set()

    def run(self) -> None:
        """Start all, tell when ready, keep all until `stop`. Raises RegularsError in one line (and a log's end)."""
        self._directory = DataDirectory(self._options.data_dir)
        with self._directory.locked():
            try:
                self._end_orphans()
                secrets = self._directory.secrets()
                self._plan = plan.decide(self._options, secrets)
                self._record()
                self._start()
                self._stop.wait()
            except OSError as error:
                raise _explained(error, self._directory) from error
            finally:
                self._end()

    def _start(self) -> None:
        stores = self._keep(self._plan.stores())
        self._await(stores)
        if self._stop.is_set():
            return
        self._set_up()
        self._await(self._keep(self._plan.services(), tuple(stores)))
        if not self._stop.is_set():
            self._phase = "running"
            self._record()
            self._say("Ready.")

    def _keep(self, parts: list[Part], needs: tuple[Keeper, ...] = ()) -> list[Keeper]:
        root = self._directory.root
        keepers = [Keeper(part, self._directory.begin_log(part.name), root, self._changed, needs) for part in parts]
        self._keepers += keepers
        for keeper in keepers:
            keeper.start()
        return keepers

    def _await(self, keepers: list[Keeper]) -> None:
        """Return when all are ready; raise when one will not be."""
        began = time.monotonic()
        for keeper in keepers:
            while not keeper.ready.is_set() and not self._stop.is_set():
                if keeper.refused is not None:
                    raise keeper.refused
                tried_enough = keeper.starts > TRIES or keeper.code == SET_UP_WRONG
                if tried_enough or time.monotonic() - began > START_SECONDS:
                    raise RegularsError(
                        f"{keeper.name} does not start. The last lines of {keeper.log}:\n{last_lines(keeper.log)}"
                    )
                time.sleep(POLL_SECONDS)
            if not self._stop.is_set():
                self._say(f"  {keeper.name:<10} ready after {time.monotonic() - began:.1f} s")

    def _set_up(self) -> None:
        if self._options.database == LOCAL:
            postgres.ensure_database(self._plan.database_port, self._plan.secrets.database_password)
        migrate.upgrade(self._plan.database)
        # Through the environment's other settings, so that a topic prefix or a number of partitions given there holds.
        create_topics(load(Settings, database=self._plan.database, **self._plan.access.model_dump()))
        organization.ensure(self._plan.database, self._directory, empty=self._options.empty, demo=self._options.demo)
        self._say("  schema, topics and the organization are in place")

    def _changed(self, news: str) -> None:
        if news and self._phase != "stopping":
            self._say(news)
        try:
            self._record()
        except OSError as error:
            self._say(str(_explained(error, self._directory)))

    def _record(self) -> None:
        with self._writing:
            secrets = self._directory.secrets()
            installation.write(
                Installation(
                    data_dir=self._directory.root,
                    organization_id=ORGANIZATION,
                    phase=self._phase,
                    supervisor={"pid": os.getpid(), "started": processes.start_time(os.getpid()) or 0.0},
                    endpoints=self._plan.endpoints,
                    metrics=self._plan.metrics,
                    processes={keeper.name: keeper.pid for keeper in self._keepers if keeper.pid is not None},
                    keys=secrets.keys,
                    console=secrets.console and {"url": self._plan.console, **secrets.console},
                    environment=self._plan.environment,
                )
            )

    def _end_orphans(self) -> None:
        ended = processes.end_orphans(self._directory.root)
        if ended:
            self._say(f"Ended {counted(len(ended), 'process', 'processes')} that an earlier supervisor left behind.")

    def _end(self) -> None:
        """Services first, then Kafka and the database: so that what services finish can still be stored."""
        self._phase = "stopping"
        stores = [keeper for keeper in self._keepers if keeper.name in {"kafka", "database"}]
        services = [keeper for keeper in self._keepers if keeper not in stores]
        _stop_together(services)
        for store in reversed(stores):
            store.stop()
        self._phase = "stopped"
        if self._keepers:
            self._changed("")


def _stop_together(keepers: list[Keeper]) -> None:
    threads = [threading.Thread(target=keeper.stop) for keeper in keepers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _explained(error: OSError, directory: DataDirectory) -> SetupError:
    if error.errno == errno.ENOSPC:
        return SetupError(f"The disk of {directory.root} is full. Make room, then run `regulars up` again.")
    return SetupError(f"Cannot keep the installation in {directory.root}: {error}")
