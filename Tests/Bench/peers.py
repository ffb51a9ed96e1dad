"""Other brokers, as Debian has them: what starts them, and what a load generator must say to them. All are told
to store messages and to sync where they can; what they promise with it differs, see docs/performance.md."""
import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import time

import servers


@dataclasses.dataclass(frozen=True)
class Kind:
    package: str
    program: str
    protocol: str = "stomp"
    words: tuple = ()
    # Workloads that it has nothing for.
    lacks: tuple = ()


KINDS = {
    "rabbitmq": Kind("rabbitmq-server", "/usr/sbin/rabbitmq-server",
                     words=("--login", "guest", "--passcode", "guest", "--sub-header", "prefetch-count:1000")),
    "activemq": Kind("activemq", "/usr/share/activemq/bin/activemq.jar",
                     words=("--sub-header", "activemq.prefetchSize:1000")),
    "nats": Kind("nats-server", "/usr/sbin/nats-server", protocol="nats"),
    "redis": Kind("redis-server", "/usr/bin/redis-server", protocol="redis"),
    "beanstalkd": Kind("beanstalkd", "/usr/bin/beanstalkd", protocol="beanstalk", lacks=("fanout",)),
}


def installed():
    return [name for name, kind in KINDS.items() if os.path.exists(kind.program)]


def install(names):
    """From Debian; says which could not be."""
    packages = [KINDS[name].package for name in names if not os.path.exists(KINDS[name].program)]
    if not packages:
        return
    # policy-rc.d keeps Debian from starting what is installed.
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    subprocess.run(["apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages], env=environment, check=True)


class Peer(servers.Server):
    """Started by peers/NAME.sh DIR PORT, which becomes the server."""

    def __init__(self, name):
        super().__init__(name)
        kind = KINDS[name]
        self.kind, self.protocol, self.words, self.is_slow = kind, kind.protocol, list(kind.words), True

    @property
    def pid(self):
        """Of the server itself, where what we started only waits for it."""
        try:
            with open(os.path.join(self.home, "data", "pid")) as file:
                return int(file.read())
        except (OSError, ValueError):
            return super().pid

    def command(self):
        return [os.path.join(servers.HERE, "peers", f"{self.name}.sh"), os.path.join(self.home, "data"), str(self.port)]

    def start(self, seconds=120):
        super().start(seconds)
        # Some listen before they serve.
        time.sleep(2)

    def remove(self):
        """RabbitMQ and others run in several processes: all of the session that we started end."""
        if self.process is not None and self.is_running():
            os.killpg(self.process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        super().remove()


def usable(names, loadgen):
    """Those that can be measured, and for the others a line that says why not."""
    good, lines = [], []
    for name in names:
        kind = KINDS[name]
        if not os.path.exists(kind.program):
            lines.append(f"{name}: not installed (--install takes {kind.package} from Debian)")
        elif kind.protocol != "stomp" and not (loadgen and shutil.which(loadgen)):
            lines.append(f"{name}: speaks no STOMP; --loadgen PATH names a load generator that speaks {kind.protocol}")
        else:
            good.append(name)
    return good, lines
