"""A network between client and broker that can be as bad as a test wants."""
import socket
import struct
import threading
import time


class Line:
    """One direction: what it does with bytes. May be changed at any moment."""

    def __init__(self):
        self.delay = 0.0  # seconds that each piece takes
        self.jitter = 0.0  # and so much more, by chance
        self.bytes_per_second = None
        self.is_black = False  # takes everything, passes nothing on, closes nothing
        self.reset_after = None  # bytes that come through before both sides are reset
        self.passed = 0


class Proxy:
    """Listens on a port of its own; every connection goes on to `target`."""

    def __init__(self, target, dice):
        self.target, self.dice = target, dice
        self.up, self.down = Line(), Line()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.pairs = []
        self.acceptor = threading.Thread(target=self.accept, daemon=True)
        self.acceptor.start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                broker = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            self.pairs.append((client, broker))
            for sock in (client, broker):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, sink, line in ((client, broker, self.up), (broker, client, self.down)):
                threading.Thread(target=self.carry, args=(source, sink, line), daemon=True).start()

    def carry(self, source, sink, line):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    if not line.is_black:
                        sink.shutdown(socket.SHUT_WR)
                    return
                if line.reset_after is not None and line.passed + len(data) >= line.reset_after:
                    sink.sendall(data[:line.reset_after - line.passed])
                    return self.reset(source, sink)
                if line.is_black:
                    continue
                if line.delay or line.jitter:
                    time.sleep(line.delay + line.jitter * self.dice.random())
                self.pass_on(sink, data, line)
        except OSError:
            return

    def pass_on(self, sink, data, line):
        """At once, or byte by byte for as long as that is wanted."""
        at = 0
        while at < len(data) and not line.is_black:
            end = len(data)
            if line.bytes_per_second:
                time.sleep(1 / line.bytes_per_second)
                end = at + 1
            sink.sendall(data[at:end])
            line.passed += end - at
            at = end

    @staticmethod
    def reset(*socks):
        for sock in socks:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.shutdown(socket.SHUT_RD)  # wakes who reads it
            except OSError:
                pass  # it is gone already
            sock.close()

    def close(self):
        # Closed under an accept that waits, its number would soon be another listener's; and the kernel begins the
        # call anew, with that one, when the process has been stopped and goes on.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.acceptor.join()
        self.listener.close()
        for pair in self.pairs:
            self.reset(*pair)
