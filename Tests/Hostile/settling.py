"""ACK, NACK, transactions, receipts (C8, C9, C10)."""
import wire
from suite import Closing, case, expect_error

REFUSED = [
    ("C102", "ACK without id", "1.2", b"ACK\n\n\0", "id"),
    ("C102", "ACK with only a message-id", "1.2", b"ACK\nmessage-id:1\nsubscription:s\n\n\0", "id"),
    ("C102", "NACK without id", "1.2", b"NACK\n\n\0", "id"),
    ("C103", "ACK without subscription", "1.1", b"ACK\nmessage-id:1\n\n\0", "subscription"),
    ("C103", "ACK without message-id", "1.1", b"ACK\nsubscription:s\n\n\0", "message-id"),
    ("C104", "ACK without message-id", "1.0", b"ACK\n\n\0", "message-id"),
    ("C104", "NACK", "1.0", b"NACK\nmessage-id:1\n\n\0", "nack"),
    ("S32 C109", "ACK of nothing", "1.2", b"ACK\nid:0-1\n\n\0", ""),
    ("S32 C109", "ACK of nonsense", "1.2", b"ACK\nid:nonsense\n\n\0", ""),
    ("S32 C109", "ACK of an empty id", "1.2", b"ACK\nid:\n\n\0", ""),
    ("S32 S51", "ACK of huge numbers", "1.2", b"ACK\nid:99999999999999999999-99999999999999999999\n\n\0", ""),
    ("S32 S51", "NACK of the largest numbers", "1.2", b"NACK\nid:4294967295-18446744073709551615\n\n\0", ""),
    ("C116", "BEGIN without transaction", "1.2", b"BEGIN\n\n\0", "transaction"),
    ("C116", "COMMIT without transaction", "1.1", b"COMMIT\n\n\0", "transaction"),
    ("C116", "ABORT without transaction", "1.0", b"ABORT\n\n\0", "transaction"),
    ("C117", "a transaction id in use", "1.2", b"BEGIN\ntransaction:t\n\n\0BEGIN\ntransaction:t\n\n\0", "transaction"),
    ("C119", "SEND in no transaction", "1.2", b"SEND\ndestination:/queue/a\ntransaction:t\n\nx\0", "transaction"),
    ("C119", "ACK in no transaction", "1.2", b"ACK\nid:0-1\ntransaction:t\n\n\0", "transaction"),
    ("C119", "COMMIT of no transaction", "1.2", b"COMMIT\ntransaction:t\n\n\0", "transaction"),
    ("C119", "ABORT of no transaction", "1.2", b"ABORT\ntransaction:t\n\n\0", "transaction"),
    ("C119", "a second COMMIT", "1.2", b"BEGIN\ntransaction:t\n\n\0COMMIT\ntransaction:t\n\n\0COMMIT\ntransaction:t\n\n\0", "transaction"),
]


def refused(version, raw, word):
    def run(target):
        with Closing(target.connect(version)) as client:
            client.send(raw)
            expect_error(client, word)
    return run


for rows, name, version, raw, word in REFUSED:
    case(rows, f"refused in {version}: {name}")(refused(version, raw, word))


def filled(target, client, count, ack, sub="s", destination=None):
    """A queue with messages 0, 1, 2... that `client` holds by a subscription; returns name and frames."""
    destination = destination or target.queue()
    for n in range(count):
        target.send(client, destination, b"%d" % n)
    target.subscribe(client, destination, ack, sub)
    return destination, [client.message() for _ in range(count)]


@case("C105")
def a_cumulative_ack_is_for_its_subscription_only(target):
    with Closing(target.connect()) as client:
        one, first = filled(target, client, 3, "client", "a")
        two, second = filled(target, client, 3, "client", "b")
        three, third = filled(target, client, 3, "client-individual", "c")
        client.ask("ACK", {"id": second[1].headers["ack"]})
        client.ask("ACK", {"id": third[2].headers["ack"]})
        client.ask("DISCONNECT")
    assert target.bodies(one, 3) == [b"0", b"1", b"2"]
    assert target.bodies(two, 1) == [b"2"]
    assert target.bodies(three, 2) == [b"0", b"1"]


@case("C106")
def an_individual_ack_is_for_its_message_only(target):
    with Closing(target.connect()) as client:
        destination, got = filled(target, client, 5, "client-individual")
        for n in (4, 1):
            client.ask("ACK", {"id": got[n].headers["ack"]})
        client.ask("DISCONNECT")
    assert target.bodies(destination, 3) == [b"0", b"2", b"3"]


@case("C107 C108")
def a_nack_brings_messages_back_marked(target):
    with Closing(target.connect()) as client:
        destination, got = filled(target, client, 3, "client-individual")
        client.ask("ACK", {"id": got[0].headers["ack"]})
        client.say("NACK", {"id": got[1].headers["ack"]})
        again = client.message(15)
        assert again.body == b"1" and again.headers.get("redelivered") == "true", again
    with Closing(target.connect()) as client:
        destination, got = filled(target, client, 3, "client")
        client.say("NACK", {"id": got[1].headers["ack"]})  # this one and all before it
        again = [client.message(15), client.message(15)]
        assert sorted(m.body for m in again) == [b"0", b"1"], again
        client.expect_quiet()


@case("C109 S32")
def an_ack_counts_once(target):
    for ack in ("client", "client-individual"):
        with Closing(target.connect()) as client:
            _, got = filled(target, client, 2, ack)
            client.ask("ACK", {"id": got[1].headers["ack"]})
            client.say("ACK", {"id": got[1].headers["ack"]})
            expect_error(client, "settled")


@case("C114")
def an_older_message_is_settled_by_a_newer_cumulative_ack(target):
    with Closing(target.connect()) as client:
        _, got = filled(target, client, 3, "client")
        client.ask("ACK", {"id": got[2].headers["ack"]})
        client.say("ACK", {"id": got[0].headers["ack"]})
        expect_error(client, "settled")


@case("C110")
def an_automatic_subscription_takes_no_acks(target):
    destination = target.queue()
    with Closing(target.connect("1.1")) as client:
        target.send(client, destination)
        target.subscribe(client, destination, "auto")
        got = client.message()
        client.say("ACK", {"message-id": got.headers["message-id"], "subscription": "s"})
        expect_error(client, "ack")


@case("C103 C111")
def in_1_1_message_id_and_subscription_must_fit(target):
    with Closing(target.connect("1.1")) as client:
        destination, got = filled(target, client, 2, "client-individual", "a")
        filled(target, client, 1, "client-individual", "b")
        client.ask("ACK", {"message-id": got[0].headers["message-id"], "subscription": "a"})
        client.say("ACK", {"message-id": got[1].headers["message-id"], "subscription": "b"})
        expect_error(client, "")
    assert target.bodies(destination, 1) == [b"1"]


@case("C104")
def in_1_0_a_message_id_is_enough(target):
    destination = target.queue()
    with Closing(target.connect("1.0")) as client:
        target.send(client, destination)
        client.ask("SUBSCRIBE", {"destination": destination, "ack": "client"})
        client.ask("ACK", {"message-id": client.message().headers["message-id"]})
        client.ask("DISCONNECT")
    assert target.bodies(destination, 0) == []


@case("S32")
def an_ack_is_for_the_connection_that_holds_the_message(target):
    with Closing(target.connect()) as holder, Closing(target.connect()) as thief:
        destination, got = filled(target, holder, 2, "client-individual")
        thief.say("ACK", {"id": got[0].headers["ack"]})
        expect_error(thief, "")
        holder.ask("ACK", {"id": got[1].headers["ack"]})
        holder.ask("DISCONNECT")
    assert target.bodies(destination, 1) == [b"0"]


@case("C112")
def what_a_lost_client_held_goes_to_another_in_order(target):
    destination = target.queue()
    client = target.connect()
    for n in range(10):
        target.send(client, destination, b"%d" % n)
    target.subscribe(client, destination, "client-individual")
    got = [client.message() for _ in range(10)]
    client.ask("ACK", {"id": got[3].headers["ack"]})
    client.reset()
    with Closing(target.connect()) as other:
        target.subscribe(other, destination, "client")
        again = [other.message() for _ in range(9)]
        assert [m.body for m in again] == [b"%d" % n for n in range(10) if n != 3], again
        assert all(m.headers.get("redelivered") == "true" for m in again), again


@case("C113")
def acks_before_a_plain_close_count(target):
    client = target.connect()
    destination, got = filled(target, client, 20, "client-individual")
    for message in got:
        client.say("ACK", {"id": message.headers["ack"]})
    client.close()
    assert target.bodies(destination, 0) == []


# Transactions


@case("C120 C123")
def a_transaction_appears_at_commit_and_in_order(target):
    one, two = target.queue(), target.queue()
    with Closing(target.connect()) as client, Closing(target.connect()) as reader:
        target.subscribe(reader, one, sub="1")
        target.subscribe(reader, two, sub="2")
        client.ask("BEGIN", {"transaction": "t"})
        for n in range(3):
            client.say("SEND", {"destination": one, "transaction": "t"}, b"%d" % n)
            client.say("SEND", {"destination": two, "transaction": "t"}, b"%d" % n)
        target.send(client, one, b"outside")
        assert reader.message().body == b"outside"
        reader.expect_quiet()
        client.ask("COMMIT", {"transaction": "t"})
        got = [reader.message() for _ in range(6)]
        for sub in "12":
            assert [m.body for m in got if m.headers["subscription"] == sub] == [b"0", b"1", b"2"], got
            assert all("transaction" not in m.headers for m in got), got


@case("C121")
def acks_in_a_transaction_count_at_commit(target):
    with Closing(target.connect()) as client:
        destination, got = filled(target, client, 3, "client-individual")
        client.ask("BEGIN", {"transaction": "t"})
        client.ask("ACK", {"id": got[0].headers["ack"], "transaction": "t"})
        client.ask("ABORT", {"transaction": "t"})
        client.ask("ACK", {"id": got[0].headers["ack"]})  # ackable again
        client.ask("BEGIN", {"transaction": "t"})
        client.ask("ACK", {"id": got[1].headers["ack"], "transaction": "t"})
        client.ask("COMMIT", {"transaction": "t"})
        client.ask("BEGIN", {"transaction": "t"})
        client.ask("ACK", {"id": got[2].headers["ack"], "transaction": "t"})
        client.ask("DISCONNECT")
    assert target.bodies(destination, 1) == [b"2"]


@case("C121")
def a_cumulative_ack_in_a_transaction_can_be_aborted(target):
    with Closing(target.connect()) as client:
        destination, got = filled(target, client, 4, "client")
        client.ask("BEGIN", {"transaction": "t"})
        client.ask("ACK", {"id": got[2].headers["ack"], "transaction": "t"})
        client.ask("ABORT", {"transaction": "t"})
        client.ask("ACK", {"id": got[1].headers["ack"]})
        client.ask("DISCONNECT")
    assert target.bodies(destination, 2) == [b"2", b"3"]


@case("C122")
def an_open_transaction_is_aborted_by_the_end(target):
    for how in ("disconnect", "close", "reset"):
        client, target_queue = target.connect(), target.queue()
        destination, got = filled(target, client, 1, "client-individual")
        client.ask("BEGIN", {"transaction": "t"})
        client.ask("SEND", {"destination": target_queue, "transaction": "t"}, b"never")
        client.ask("ACK", {"id": got[0].headers["ack"], "transaction": "t"})
        if how == "disconnect":
            client.ask("DISCONNECT")
        client.reset() if how == "reset" else client.close()
        assert target.bodies(target_queue, 0) == [], how
        assert target.bodies(destination, 1) == [b"0"], how


@case("C118")
def a_transaction_id_can_be_used_again_and_is_of_one_connection(target):
    destination = target.queue()
    with Closing(target.connect()) as client, Closing(target.connect()) as other:
        for word in ("COMMIT", "ABORT", "COMMIT"):
            client.ask("BEGIN", {"transaction": "t"})
            other.ask("BEGIN", {"transaction": "t"})
            client.say("SEND", {"destination": destination, "transaction": "t"}, word.encode())
            client.ask(word, {"transaction": "t"})
            other.ask("ABORT", {"transaction": "t"})
    assert target.bodies(destination, 2) == [b"COMMIT", b"COMMIT"]


@case("C124")
def a_receipt_within_a_transaction_comes_at_once(target):
    destination = target.queue()
    with Closing(target.connect()) as client:
        client.ask("BEGIN", {"transaction": "t"})
        client.ask("SEND", {"destination": destination, "transaction": "t"}, b"x")
        client.ask("COMMIT", {"transaction": "t"})
    assert target.bodies(destination, 1) == [b"x"]


@case("C126")
def a_transaction_on_subscribe_is_ignored(target):
    destination = target.queue()
    with Closing(target.connect()) as client:
        client.ask("SUBSCRIBE", {"id": "s", "destination": destination, "transaction": "none"})
        client.ask("UNSUBSCRIBE", {"id": "s", "transaction": "none"})


# Receipts


@case("C127 C128 S33")
def every_frame_gets_its_receipt(target):
    destination = target.queue()
    with Closing(target.connect()) as client:
        odd = "r:1\n\\ \u2603"
        for command, headers, body in [
            ("SEND", {"destination": destination}, b"0"), ("SEND", {"destination": destination}, b"1"),
            ("BEGIN", {"transaction": "t"}, b""), ("COMMIT", {"transaction": "t"}, b""),
            ("BEGIN", {"transaction": "u"}, b""), ("ABORT", {"transaction": "u"}, b""),
            ("SUBSCRIBE", {"id": "s", "destination": destination, "ack": "client-individual"}, b""),
        ]:
            client.say(command, {**headers, "receipt": odd}, body)
            assert client.expect("RECEIPT").headers["receipt-id"] == odd, command
        got = [client.message(), client.message()]
        client.say("ACK", {"id": got[0].headers["ack"], "receipt": odd})
        assert client.expect("RECEIPT").headers["receipt-id"] == odd
        client.say("NACK", {"id": got[1].headers["ack"], "receipt": odd})
        frames = [client.read(15), client.read(15)]  # the message may be back before its receipt is
        assert [f.headers["receipt-id"] for f in frames if f.command == "RECEIPT"] == [odd], frames
        for command, headers in [("UNSUBSCRIBE", {"id": "s"}), ("DISCONNECT", {})]:
            client.say(command, {**headers, "receipt": odd})
            assert client.expect("RECEIPT").headers["receipt-id"] == odd, command


@case("C129")
def receipts_come_in_the_order_of_frames(target):
    queues = [target.queue() for _ in range(4)]
    with Closing(target.connect()) as client:
        raw = bytearray()
        for n in range(2000):
            headers = {"destination": queues[n % 4], "receipt": n}
            if n % 7 == 0:
                headers["persistent"] = "false"
            raw += wire.frame("SEND", headers, b"x" * (n % 300))
        client.send(bytes(raw))
        for n in range(2000):
            assert client.expect("RECEIPT").headers["receipt-id"] == str(n)


@case("S33")
def a_long_receipt_comes_back_whole(target):
    with Closing(target.connect()) as client:
        long = "\\:\n" * 1000 + "x" * 5000
        client.say("SEND", {"destination": target.queue(), "receipt": long}, b"x")
        assert client.expect("RECEIPT").headers["receipt-id"] == long
