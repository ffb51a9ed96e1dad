"""Starts and stops a brokerd of its own, for tests that look at it from outside. Standard library only."""
import contextlib
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class NotReady(Exception):
    """The broker ended, or did not say that it serves; carries what it logged."""


def binary():
    """The built broker: $BROKERD, else the release build, else the debug build."""
    candidates = [os.environ.get("BROKERD"), f"{ROOT}/.build/release/brokerd", f"{ROOT}/.build/debug/brokerd"]
    for path in candidates:
        if path and os.access(path, os.X_OK):
            return path
    raise NotReady("brokerd is not built: run scripts/build")


def free_port():
    """Below those that outgoing connections get: while a broker is down, none of them takes its port."""
    while True:
        port = random.randrange(12_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Broker:
    """One broker process on a data directory of its own (or `data`), on 127.0.0.1:`port`."""

    def __init__(self, data=None, arguments=(), port=None, open_files=None, log=None):
        self.home = None if data else tempfile.mkdtemp(prefix="broker-test-")
        self.data = data or os.path.join(self.home, "data")
        self.port = port or free_port()
        self.arguments = list(arguments)
        self.log_path = log or os.path.join(os.path.dirname(self.data), "brokerd.log")
        self.under = []  # the command that the next start runs it under, such as strace
        self.open_files = open_files  # the most it may have
        self.process = None

    @property
    def pid(self):
        if not self.under:
            return self.process.pid
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(children) as listed:
            pids = listed.read().split()
        if not pids:
            raise ProcessLookupError(children)
        return int(pids[0])

    def spawn(self):
        """Starts the process; returns where in the log its lines begin."""
        command = [*self.under, binary(), "--data", self.data, "--listen", f"127.0.0.1:{self.port}", *self.arguments]
        # The log goes to a file: a full pipe must not hold the broker up.
        with open(self.log_path, "ab") as log:
            offset = log.tell()
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=self.limit if self.open_files else None)
        return offset

    def limit(self):
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.open_files, self.open_files))

    def start(self, seconds=30.0):
        """Returns how many seconds it took until the broker said `ready`."""
        began = time.monotonic()
        offset = self.spawn()
        while b"ready" not in self.log_since(offset):
            if self.process.poll() is not None:
                lines = self.log_since(offset).decode("utf-8", "replace")
                raise NotReady(f"brokerd ended with {self.process.returncode}:\n{lines[-2000:]}")
            if time.monotonic() - began > seconds:
                lines = self.log_since(offset).decode("utf-8", "replace")
                raise NotReady(f"brokerd was not ready within {seconds} s:\n{lines[-2000:]}")
            time.sleep(0.005)
        return time.monotonic() - began

    def log_since(self, offset=0):
        with open(self.log_path, "rb") as log:
            log.seek(offset)
            return log.read()

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self, how=signal.SIGKILL):
        """Sends the signal and waits for the end; returns the exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            # What it runs under has nothing to end by itself, and ends with it.
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                os.kill(self.pid, how)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise

    def stop(self):
        """Asks it to stop; returns the exit status."""
        return self.kill(signal.SIGTERM)

    def remove(self):
        """Ends it and removes everything it wrote."""
        if self.is_running():
            self.kill()
        if self.home:
            shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.remove()


def resident_kib(pid):
    """Memory of a process, in KiB."""
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    raise ProcessLookupError(pid)


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))
