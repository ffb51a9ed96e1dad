"""A small STOMP client of our own: says exactly the bytes it is told to. Standard library only."""
import select
import socket
import time


class Closed(Exception):
    """The broker closed the connection; `rest` holds bytes of an unfinished frame."""

    def __init__(self, rest=b""):
        super().__init__(f"the broker closed the connection (behind {rest[:80]!r})" if rest else
                         "the broker closed the connection")
        self.rest = rest


class Timeout(Exception):
    """Nothing came in time."""


class ErrorFrame(Exception):
    """The broker answered ERROR."""

    def __init__(self, frame):
        super().__init__(f"ERROR {frame.headers.get('message')!r} {frame.body[:200]!r}")
        self.frame = frame


def readable(sock, seconds):
    """Whether something comes (or the end) in this time. `select` knows 1024 descriptors only."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


class Frame:
    """A frame as it stood on the wire; header values are decoded as in STOMP 1.2."""

    def __init__(self, command, lines, body):
        self.command, self.lines, self.body = command, lines, body
        self.headers = {}
        for line in lines:
            name, _, value = line.partition(b":")
            self.headers.setdefault(unescape(name), unescape(value))

    def __repr__(self):
        return f"{self.command} {self.headers} {self.body[:60]!r}"


def unescape(raw):
    out, at = bytearray(), 0
    while at < len(raw):
        if raw[at] == 0x5C and at + 1 < len(raw):
            pair = {0x6E: b"\n", 0x63: b":", 0x72: b"\r", 0x5C: b"\\"}.get(raw[at + 1])
            out += pair if pair is not None else raw[at:at + 2]
            at += 2
        else:
            out.append(raw[at])
            at += 1
    return out.decode("utf-8", "surrogateescape")


def escape(text):
    raw = text if isinstance(text, bytes) else str(text).encode()
    return raw.replace(b"\\", b"\\\\").replace(b"\r", b"\\r").replace(b"\n", b"\\n").replace(b":", b"\\c")


def frame(command, headers=(), body=b"", length=None):
    """Bytes of a frame. `headers` is a dict or a list of pairs; with a body there is a content-length."""
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
    if length is None and body:
        length = len(body)
    if length is not None:
        pairs.append(("content-length", length))
    lines = b"".join(escape(name) + b":" + escape(value) + b"\n" for name, value in pairs)
    return command.encode() + b"\n" + lines + b"\n" + body + b"\0"


class Connection:
    """A socket, and the frames that come out of it."""

    def __init__(self, port, host="127.0.0.1", patience=10.0, version="1.2", login=True, headers=None):
        self.patience = patience
        self.inbox = bytearray()
        self.unread = []  # frames put back, to be read again first
        self.heart_beats = 0
        self.is_behind_frame = False  # one line end behind a frame belongs to it
        self.receipts_made = 0
        self.sock = socket.create_connection((host, port), timeout=patience)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connected = self.log_in(version, headers or {}) if login else None

    def log_in(self, version, headers):
        fields = {} if version is None else {"accept-version": version, "host": "localhost"}
        fields.update(headers)
        # The CONNECT frame is never escaped.
        lines = "".join(f"{name}:{value}\n" for name, value in fields.items()).encode()
        self.send(b"CONNECT\n" + lines + b"\n\0")
        return self.expect("CONNECTED")

    # Bytes

    def send(self, raw):
        self.sock.sendall(raw)

    def say(self, command, headers=(), body=b"", length=None):
        self.send(frame(command, headers, body, length))

    def close(self, seconds=5.0):
        """Ends the connection and waits until the broker has seen that: then it has taken back what was held here, and
        a test that goes on by another connection does not race with it."""
        until = time.monotonic() + seconds
        try:
            self.sock.shutdown(socket.SHUT_WR)
            while (left := until - time.monotonic()) > 0 and readable(self.sock, left) and self.sock.recv(1 << 18):
                pass
        except OSError:
            pass  # it has ended already
        self.sock.close()

    def reset(self):
        """Closes by RST, as a client that is killed may."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    # Frames

    def read(self, seconds=None):
        """The next frame. Heart-beats are counted and passed over."""
        if self.unread:
            return self.unread.pop(0)
        until = time.monotonic() + (self.patience if seconds is None else seconds)
        while True:
            found = self.parse()
            if found is not None:
                return found
            left = until - time.monotonic()
            if left <= 0 or not readable(self.sock, left):
                raise Timeout(f"nothing came in time (have {bytes(self.inbox[:80])!r})")
            try:
                data = self.sock.recv(1 << 18)
            except ConnectionResetError:
                data = b""
            if not data:
                raise Closed(bytes(self.inbox))
            self.inbox += data

    def parse(self):
        while self.inbox[:1] in (b"\n", b"\r"):
            self.heart_beats += self.inbox[0] == 0x0A and not self.is_behind_frame
            self.is_behind_frame = False
            del self.inbox[0]
        end = self.inbox.find(b"\n\n")
        if end < 0:
            return None
        lines = bytes(self.inbox[:end]).split(b"\n")
        start = end + 2
        length = next((int(l[15:]) for l in lines[1:] if l.startswith(b"content-length:")), None)
        stop = start + length if length is not None else self.inbox.find(b"\0", start)
        if stop < 0 or stop >= len(self.inbox):
            return None
        assert self.inbox[stop] == 0, f"no NUL behind the body of {lines[0]!r}"
        got = Frame(lines[0].decode(), lines[1:], bytes(self.inbox[start:stop]))
        del self.inbox[:stop + 1]
        self.is_behind_frame = True
        return got

    def expect(self, command, seconds=None):
        """The next frame, which must be of this kind."""
        got = self.read(seconds)
        if got.command == "ERROR" and command != "ERROR":
            raise ErrorFrame(got)
        if got.command != command:
            raise AssertionError(f"{got} instead of {command}")
        return got

    def expect_end(self, seconds=None):
        """The broker must close, with nothing more to say."""
        try:
            got = self.read(seconds)
        except Closed as closed:
            assert not closed.rest, f"half a frame before the end: {closed.rest!r}"
            return
        raise AssertionError(f"{got} instead of the end")

    def expect_quiet(self, seconds=0.3):
        """No frame may come."""
        try:
            got = self.read(seconds)
        except Timeout:
            return
        raise AssertionError(f"{got} instead of silence")

    # Conversations

    def ask(self, command, headers=(), body=b"", length=None):
        """Sends with a receipt and waits for it; returns the frames that came before it."""
        self.receipts_made += 1
        name = f"ask-{self.receipts_made}"
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
        self.say(command, [*pairs, ("receipt", name)], body, length)
        before = []
        while True:
            got = self.read()
            if got.command == "ERROR":
                raise ErrorFrame(got)
            if got.command == "RECEIPT":
                assert got.headers["receipt-id"] == name, f"{got} instead of {name}"
                return before
            before.append(got)

    def message(self, seconds=None):
        return self.expect("MESSAGE", seconds)
