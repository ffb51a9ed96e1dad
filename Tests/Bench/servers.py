"""The servers that are measured, each started on a directory of its own and removed with it."""
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import brokerd  # noqa: E402

# Ended by a signal, we end what we started as well; handled as it is, Python would leave without that.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

BENCH = os.environ.get("BROKERBENCH") or os.path.join(brokerd.ROOT, ".build/release/brokerbench")

# What each floor does with a batch; `floor` is the plain one.
FLOORS = {
    "floor": [],
    "inline": ["--inline"],
    "prealloc": ["--prealloc", "512"],
    "inline-prealloc": ["--inline", "--prealloc", "512"],
    "unsynced": ["--no-sync"],
}


class Server:
    """A process that listens on `port`."""

    def __init__(self, name):
        self.name = name
        self.protocol = "stomp"
        # Words for the load generator that this server needs, as for its login.
        self.words = []
        # One process serves many runs, since it takes long to start.
        self.is_slow = False
        self.port = brokerd.free_port()
        self.home = tempfile.mkdtemp(prefix="broker-bench-")
        self.process = None

    @property
    def pid(self):
        return self.process.pid

    def command(self):
        raise NotImplementedError

    def start(self, seconds=30):
        words = self.command()
        with open(os.path.join(self.home, "out.log"), "ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)
        self.wait(seconds)

    def wait(self, seconds):
        """Until a connection is taken."""
        until = time.monotonic() + seconds
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                if time.monotonic() > until or not self.is_running():
                    self.remove()
                    raise brokerd.NotReady(f"{self.name} does not listen on {self.port}") from None
                time.sleep(0.01)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def remove(self):
        if self.process is not None:
            if self.is_running():
                self.process.kill()
            self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


class Floor(Server):
    """brokerbench as the least that can be compared with."""

    def __init__(self, name):
        super().__init__(name)
        self.options = FLOORS[name]

    def command(self):
        return [BENCH, "floor", "--port", str(self.port), "--dir", os.path.join(self.home, "data"), *self.options]


class Reference(Server):
    """Whatever a command starts; {port} and {dir} in it are filled in."""

    def __init__(self, command):
        super().__init__("reference")
        self.text = command

    def command(self):
        return shlex.split(self.text.format(port=self.port, dir=os.path.join(self.home, "data")))


class Broker(Server):
    """The broker of this project."""

    def __init__(self, arguments=()):
        super().__init__("brokerd")
        self.broker = brokerd.Broker(arguments=arguments)
        self.port = self.broker.port

    @property
    def pid(self):
        return self.broker.pid

    def start(self, seconds=30):
        self.broker.start(seconds)

    def season(self, messages=1_100_000, seconds=60):
        """A burst that is over: the journal keeps its files, which are quicker to write to than new ones."""
        subprocess.run([BENCH, "drain", "--port", str(self.port), "--messages", str(messages), "--size", "1024",
                        "--producers", "4", "--consumers", "2"], stdout=subprocess.DEVNULL, check=True, timeout=300)
        journal = os.path.join(self.broker.data, "journal")
        until = time.monotonic() + seconds
        while sum(name.endswith(".seg") for name in os.listdir(journal)) > 6:
            if time.monotonic() > until:
                raise brokerd.NotReady(f"{self.name} has not emptied its journal in {seconds} s")
            time.sleep(0.1)

    def kill(self):
        self.broker.kill(signal.SIGKILL)

    def remove(self):
        self.broker.remove()
        super().remove()


def make(name, arguments=(), reference=None):
    """The server of this name; a peer by the name of its script."""
    if name == "brokerd":
        return Broker(arguments)
    if name == "reference":
        return Reference(reference)
    if name in FLOORS:
        return Floor(name)
    import peers  # they need this file
    return peers.Peer(name)
