"""The admin door and the process itself (S43-S50, C142, faults 34 and 41)."""
import json
import os
import socket
import stat
import subprocess
import time

import brokerd
from suite import Closing, case, own_broker, target_of


class Admin:
    """HTTP by hand, over the Unix socket or TCP, so that it can be wrong."""

    def __init__(self, broker, address=None):
        if address:
            self.sock = socket.create_connection(address, timeout=15)
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(15)
            self.sock.connect(os.path.join(broker.data, "admin.sock"))
        self.inbox = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, raw):
        self.sock.sendall(raw)

    def answer(self):
        """Status and body of the next answer; (0, b"") when the connection is closed instead."""
        while b"\r\n\r\n" not in self.inbox:
            if not self.more():
                return 0, b""
        head, _, rest = self.inbox.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        length = next((int(l.split(b":")[1]) for l in lines[1:] if l.lower().startswith(b"content-length:")), 0)
        while len(rest) < length:
            if not self.more():
                break
            rest = self.inbox.partition(b"\r\n\r\n")[2]
        self.inbox = rest[length:]
        self.head = head
        return int(lines[0].split()[1]), rest[:length]

    def more(self):
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        self.inbox += data
        return bool(data)

    def is_closed(self):
        return self.answer() == (0, b"")


def ask(broker, raw, address=None):
    with Admin(broker, address) as admin:
        try:
            admin.send(raw)
        except OSError:
            pass  # refused while we were sending
        return admin.answer()


@case("S43 S49")
def files_are_for_their_owner_only(target):
    with own_broker() as broker:
        with Closing(target_of(broker).connect()) as client:
            client.ask("SEND", {"destination": "/queue/q"}, b"x")
        for folder, folders, files in os.walk(broker.data):
            for name in [".", *folders, *files]:
                mode = os.lstat(os.path.join(folder, name)).st_mode
                assert not stat.S_IMODE(mode) & 0o077, f"{name} has mode {stat.S_IMODE(mode):o}"
        assert ask(broker, b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 200


# rows, name, request, status (a set of them); 0: closed without an answer
HTTP = [
    ("S45", "both lengths", b"POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", {400}),
    ("S45", "chunks", b"POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400, 411, 501}),
    ("S45", "two lengths", b"POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", {400}),
    ("S45", "a length below 0", b"POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", {400}),
    ("S45", "a huge length", b"POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n", {400, 413}),
    ("S45", "a big body", b"POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n", {400, 413}),
    ("S45", "a long first line", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", {0, 400, 414}),
    ("S45", "a long header", b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", {0, 400, 431}),
    ("S45", "many headers", b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 5000 + b"\r\n", {0, 400, 431}),
    ("S45", "a folded header", b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n", {400}),
    ("S45", "a path that climbs", b"GET /v1/../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 404}),
    ("S45", "a path that climbs, encoded", b"GET /v1/queues/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 404}),
    ("S45", "a NUL in a path", b"GET /v1/queues/a%00b HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 404}),
    ("S45", "broken percents", b"GET /v1/queues/%zz%1 HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 404}),
    ("S45", "no HTTP at all", b"\0\1\2\3\r\n\r\n", {0, 400}),
    ("S45", "an unknown version", b"GET /v1/status HTTP/9.9\r\nHost: localhost\r\n\r\n", {400, 505}),
    ("S44", "an unknown method", b"BREW /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 405, 501}),
    ("S44", "GET that would change something", b"GET /v1/reload HTTP/1.1\r\nHost: localhost\r\n\r\n", {404, 405}),
    ("S44", "a page of a browser", b"POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil\r\nContent-Length: 0\r\n\r\n", {403}),
    ("S44", "a form of a browser",
     b"POST /v1/queues/q/purge HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", {400, 415}),
]


@case("S44 S45")
def the_admin_door_refuses_what_is_odd(target):
    with own_broker() as broker:
        problems = []
        for _, name, raw, statuses in HTTP:
            status, _ = ask(broker, raw)
            if status not in statuses:
                problems.append(f"{name}: {status} instead of {sorted(statuses)}")
        assert not problems, "; ".join(problems)
        assert ask(broker, b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 200


@case("S44")
def a_rebound_name_does_not_reach_the_admin_port(target):
    port = brokerd.free_port()
    with own_broker(arguments=["--admin", f"127.0.0.1:{port}"]) as broker:
        address = ("127.0.0.1", port)
        for host, statuses in ((b"localhost:%d" % port, {200}), (b"127.0.0.1:%d" % port, {200}), (b"evil.example", {403, 421, 400}),
                               (b"127.0.0.1.evil.example", {403, 421, 400})):
            status, _ = ask(broker, b"GET /v1/status HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", address)
            assert status in statuses, f"Host {host}: {status}"
        status, _ = ask(broker, b"GET /v1/status HTTP/1.1\r\n\r\n", address)
        assert status == 400, f"without Host: {status}"


@case("S45")
def a_slow_request_is_closed(target):
    with own_broker() as broker, Admin(broker) as admin:
        admin.send(b"GET /v1/status HTTP/1.1\r\nHost: local")
        began = time.monotonic()
        admin.sock.settimeout(30)
        admin.answer()
        assert time.monotonic() - began < 25


@case("S44 S46")
def what_admin_shows_is_escaped(target):
    with own_broker() as broker:
        name = '<script>alert("\u202e")</script>'
        with Closing(target_of(broker).connect()) as client:
            client.ask("SEND", {"destination": "/queue/" + name}, b"x")
        with Admin(broker) as admin:
            admin.send(b"GET /v1/queues HTTP/1.1\r\nHost: localhost\r\n\r\n")
            status, body = admin.answer()
            assert status == 200 and b"nosniff" in admin.head.lower().replace(b" ", b""), admin.head
            assert b"application/json" in admin.head.lower(), admin.head
            assert [queue["name"] for queue in json.loads(body)["queues"]] == [name], body


@case("S45 S51")
def many_requests_in_one_packet_are_answered_in_order(target):
    with own_broker() as broker, Admin(broker) as admin:
        admin.send(b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        got = [admin.answer()[0] for _ in range(40)]
        assert got == [200, 404] * 20, got


@case("S47")
def no_address_of_the_network_without_passwords(target):
    done = subprocess.run([brokerd.binary(), "--data", "/nonexistent/x", "--listen", "0.0.0.0:0"],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    assert done.returncode in (1, 2), done
    assert b"0.0.0.0" in done.stderr, done.stderr


def refused_start(arguments):
    done = subprocess.run([brokerd.binary(), *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    assert done.stderr.strip(), "refused without a word"
    return done.returncode


@case("S50")
def a_second_broker_on_one_directory_is_refused(target):
    with own_broker() as broker:
        with Closing(target_of(broker).connect()) as client:
            client.ask("SEND", {"destination": "/queue/q"}, b"kept")
            assert refused_start(["--data", broker.data, "--listen", f"127.0.0.1:{brokerd.free_port()}"]) == 1
            client.ask("SEND", {"destination": "/queue/q"}, b"unharmed")
        assert target_of(broker).bodies("/queue/q", 2) == [b"kept", b"unharmed"]


@case("S47 S50")
def starts_that_cannot_be_are_refused_with_a_word(target):
    with own_broker() as broker:
        assert refused_start(["--data", broker.data + "2", "--listen", f"127.0.0.1:{broker.port}"]) == 1
        for arguments in (["--set", "no.such=1"], ["--set", "limits.body_bytes=-1"], ["--no-such-option"], ["--listen", "nonsense"]):
            assert refused_start(["--data", broker.data + "3", *arguments]) == 2, arguments
        file = broker.data + ".file"
        open(file, "w").close()
        assert refused_start(["--data", file, "--listen", f"127.0.0.1:{brokerd.free_port()}"]) in (1, 2, 3)


@case("S49 C142")
def a_stop_under_load_is_quick_and_clean(target):
    with own_broker() as broker:
        other = target_of(broker)
        clients = [other.connect() for _ in range(10)]
        for client in clients:
            client.send(b"SEND\ndestination:/queue/load\n\nx\0" * 5000)
        began = time.monotonic()
        assert broker.stop() == 0
        assert time.monotonic() - began < 10
        for client in clients:
            client.close()
