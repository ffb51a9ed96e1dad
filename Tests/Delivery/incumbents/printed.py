"""Frames as they are printed in the documentation of other brokers: lines of text, `^@` for NUL."""
import textwrap


def say(connection, text):
    """Sends them as they stand there, without the margin. Pages that leave out the end of a frame mean it."""
    raw = textwrap.dedent(text).strip("\n")
    if "^@" not in raw:
        raw += "^@" if "\n\n" in raw else "\n\n^@"
    connection.send(raw.replace("^@", "\0").encode())


def settled(connection):
    """What was said before is done: nothing is answered but this."""
    return connection.ask("SEND", {"destination": "/queue/incumbents.done"})


def refused(connection, message, *words):
    got = connection.expect("ERROR")
    assert got.headers["message"] == message, got
    text = got.body.decode()
    assert all(word in text for word in words), text
    connection.expect_end()
