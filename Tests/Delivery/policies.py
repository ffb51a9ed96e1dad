"""Policies: settings of destinations by pattern, from the configuration and from operators."""
from suite import QUICK, nack, test


@test(settings={"length_most": 1})
def of_the_configuration(lab):
    lab.send(lab.queue(), b"1")
    lab.refuse("queue full", [], "SEND", {"destination": lab.queue()})
    plain = lab.queue().replace("/queue/", "/queue/other.")
    lab.send(plain, b"1")
    lab.send(plain, b"2")


@test(crash=True)
def of_an_operator(lab):
    queue, name = lab.queue("a.b"), lab.test.place.replace(".", "-")
    lab.ctl("policy", "set", name, "--pattern", lab.queue("a.*"), "--set", "length_most=1")
    lab.send(queue, b"1")
    lab.middle()
    lab.refuse("queue full", [], "SEND", {"destination": queue})
    lab.send(lab.queue("a"), b"1")
    lab.send(lab.queue("a"), b"a.* has two words")
    lab.ctl("policy", "delete", name)
    lab.send(queue, b"2")
    assert lab.bodies(queue, 2) == [b"1", b"2"]


@test(crash=True)
def counts_at_once(lab):
    queue, name = lab.queue(), lab.test.place.replace(".", "-")
    lab.send(queue, b"1")
    reader = lab.consume(queue)
    lab.ctl("policy", "set", name, "--pattern", queue, "--set", "delivery_limit=1", "--set", "redelivery_delay_ms=0")
    lab.middle()
    if lab.test.crashes:
        reader = lab.consume(queue)
    nack(reader, reader.message())
    letter = lab.consume(queue + ".dlq", ack="auto").message()
    assert letter.headers["dead-letter-reason"] == "delivery-limit", letter
    lab.ctl("policy", "delete", name)


@test(crash=True, settings={**QUICK, "length_most": 5})
def a_queues_own_settings_go_first(lab):
    queue = lab.queue()
    lab.ctl("queue", "create", queue, "--set", "length_most=1")
    lab.middle()
    lab.send(queue, b"1")
    lab.refuse("queue full", "length_most 1", "SEND", {"destination": queue})
    lab.ctl("queue", "settings", queue, "--unset", "length_most")
    for n in range(4):
        lab.send(queue, b"%d" % n)
    lab.refuse("queue full", "length_most 5", "SEND", {"destination": queue})


@test()
def the_narrower_one_wins(lab):
    wide, narrow, high = (f"{lab.test.place.replace('.', '-')}-{n}" for n in ("wide", "narrow", "high"))
    queue = lab.queue("a.b")
    lab.ctl("policy", "set", wide, "--pattern", lab.queue("**"), "--set", "length_most=1", "--set", "bytes_most=123456")
    lab.ctl("policy", "set", narrow, "--pattern", lab.queue("a.*"), "--set", "length_most=2")
    try:
        lab.send(queue, b"1")
        lab.send(queue, b"2")
        lab.refuse("queue full", ["length_most 2", "bytes_most 123456"], "SEND", {"destination": queue})
        lab.ctl("policy", "set", high, "--pattern", lab.queue("**"), "--priority", "5", "--set", "length_most=3")
        lab.send(queue, b"3")
        lab.refuse("queue full", "length_most 3", "SEND", {"destination": queue})
        explained = str(lab.ctl("policy", "explain", queue))
        assert all(name in explained for name in (wide, narrow, high)), explained[:500]
    finally:
        for name in (wide, narrow, high):
            lab.ctl("policy", "delete", name, ok=False)


@test()
def wrong_ones_are_refused(lab):
    name = lab.test.place.replace(".", "-")
    for words in (["--set", "delivery_limt=1"], ["--set", "delivery_limit=many"], []):
        assert lab.ctl("policy", "set", name, "--pattern", lab.queue(), *words, ok=False) in (1, 2)
