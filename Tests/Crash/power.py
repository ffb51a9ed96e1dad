"""Power cuts: a file system of its own on a loop device, whose shutdown throws away what was not synced.
What the kernel had in memory is gone, unlike after `kill -9`."""
import os
import shutil
import subprocess
import tempfile
import time

import brokerd
from cycle import Cycle

MKFS = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q"]}
IMAGE_BYTES = 400 << 20  # xfs wants 300 MiB; the file is sparse
RELEASE_SECONDS = 60.0
MOST_SECONDS = 5.0  # in which a broker under load finds out that its disk is gone


class Refused(Exception):
    """No file system can be mounted here."""


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=60)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stdout.decode('utf-8', 'replace').strip()}")


class Volume:
    """A file with a file system in it, mounted."""

    def __init__(self, kind):
        self.home = tempfile.mkdtemp(prefix="broker-test-")
        self.image, self.path = os.path.join(self.home, "image"), os.path.join(self.home, "disk")
        with open(self.image, "wb") as image:
            image.truncate(IMAGE_BYTES)
        os.mkdir(self.path)
        try:
            run(*MKFS[kind], self.image)
            self.mount()
        except OSError as problem:
            shutil.rmtree(self.home)
            raise Refused(str(problem)) from problem

    def mount(self):
        run("mount", "-o", "loop", self.image, self.path)

    def cut(self, flush):
        """From now on nothing reaches the disk, and every call fails. `flush`: what the file system's own
        journal holds is still written."""
        run("xfs_io", "-x", "-c", "shutdown -f" if flush else "shutdown", self.path)

    def restore(self):
        run("umount", self.path)
        self.wait_for_release()
        self.mount()

    def wait_for_release(self):
        """Who copied the mounts of this machine meanwhile keeps the dead file system for a while, and a mount
        would give it back."""
        until = time.monotonic() + RELEASE_SECONDS
        while subprocess.run(["losetup", "-j", self.image], capture_output=True, check=True, timeout=60).stdout:
            if time.monotonic() > until:
                raise OSError(f"{self.image} is still in use {RELEASE_SECONDS} s after umount")
            time.sleep(0.02)

    def remove(self, keep):
        """Kept is the image: `mount -o loop` shows what is in it."""
        if os.path.ismount(self.path):
            run("umount", self.path)
        if not keep:
            shutil.rmtree(self.home)


class VolumeBroker(brokerd.Broker):
    """A broker whose data is on a volume, and whose log is not."""

    def __init__(self, volume, arguments):
        super().__init__(data=os.path.join(volume.path, "data"), arguments=arguments,
                         log=os.path.join(volume.home, "brokerd.log"))
        self.volume = volume


class PowerCut(Cycle):
    """The disk is cut off under load. The broker is killed with it, or left to find out: then it ends with 3,
    or says that the disk is short, if what failed was not the journal's."""

    def end(self):
        time.sleep(self.random.uniform(0.05, 1.2))
        self.ledger.last_words = ("server shutting down", "disk is short")
        begin = os.path.getsize(self.broker.log_path)
        self.broker.volume.cut(flush=self.random.random() < 0.5)
        if self.random.random() < 0.5:
            self.broker.kill()
            return
        try:
            status = self.broker.process.wait(MOST_SECONDS)
        except subprocess.TimeoutExpired:
            if b"disk is short" not in self.broker.log_since(begin):
                self.ledger.violation(f"did not find out in {MOST_SECONDS} s that its disk is gone")
            self.broker.kill()
            return
        if status != 3:
            self.ledger.violation(f"ended with status {status} without its disk")

    def restart(self):
        self.broker.volume.restore()
        return self.broker.start()
