extension Options {
    static let help = """
        usage: brokerbench publish|e2e|drain|fanout|rtt|idle|first [options]
               brokerbench floor --port P --dir D [--inline] [--prealloc MIB] [--no-sync]

        Puts load on a STOMP 1.2 broker and checks every message that comes back.

        Workloads
          publish   producers send messages, each confirmed by RECEIPT; figure: confirmed messages a second
          e2e       the same, while consumers take from the queue and acknowledge each message by itself;
                    figure: messages a second received and acknowledged, latency from SEND to MESSAGE
          drain     --messages are stored, then consumers empty the queue; figure: messages a second from the
                    first SUBSCRIBE to the last message
          fanout    one producer sends to a topic, nothing is stored or acknowledged, and it is at most a window
                    ahead of the slowest subscriber; figure: deliveries a second. Losses are counted, not a fault
          rtt       one message in flight, from one client to another and back; figure: round-trip time
          idle      opens --connections and leaves them alone; figure: memory of the broker for each
          first     tries until the broker lets us in and, with --consumers 1, until a message that waits in --dest
                    has come; figure: milliseconds
          floor     no load: the least server that can be compared with. It stores before it confirms, recovers
                    nothing and checks nothing. --inline: with one thread; --prealloc: over a file full of zeros;
                    --no-sync: without waiting for the disk

        Where
          --host H --port P          the broker (127.0.0.1, 61613)
          --login L --passcode P     (none)
          --vhost V                  value of the host header (/)
          --dest D                   destination (a new queue or topic for each run); {0..9} in it stands for ten,
                                     one after the other, shared among the consumers

        How much
          --size N                   bytes of a body, at least 16 (1024)
          --producers N              (1)
          --consumers N              for e2e, drain and fanout (1)
          --window N                 unconfirmed messages of one producer, at most (1000)
          --batch N                  free places in the window before writing again; messages of one call of the
                                     library, at most (a tenth of the window)
          --seconds S                measured time (5) ...
          --messages N               ... or messages in all, measured from the first to the last
          --warmup S                 before the measured time (1)
          --rate R                   messages a second in all, at fixed times; latency then counts from the
                                     time a message was due
          --grace S                  wait this long for what is owed at the end (30)
          --backlog N                for e2e: so many are stored before the consumers come, and about so many
                                     stay, as producers go at the speed of the consumers (or of --rate)
          --drain                    with --backlog: nothing is sent behind it; measured from the first to
                                     the last, or from the time that all have with deliver-at:{now+MS}
          --no-fill                  for drain: nothing is stored, whatever is there is consumed
          --state-out F              for publish: writes what was confirmed into a file, also when the broker ends
          --state-in F               for drain: consumes what that file says, as behind a restart
          --connections N            for idle (2000)

        How
          --client wire|library|library-one-by-one
                                     for publish and e2e: who speaks with the broker. wire is a client of this program that
                                     does no more than it must (the habit); library is BrokerClient, with calls that send
                                     --batch messages each, so many side by side as fill the window, and a loop for each
                                     subscription (prefetch-count 1000) that takes and acknowledges so many at once;
                                     library-one-by-one has a task for each place in the window, which sends one
                                     message and waits, and takes and acknowledges one after the other
          --persistent               stored and confirmed (the habit of publish and e2e)
          --no-persistent            with persistent:false (the habit of rtt, which then asks for no RECEIPT)
          --header name:value        also on each SEND; may be repeated. The value may change: {1..9} counts
                                     and begins again, {a,b,} goes through the words (an empty one leaves the
                                     header out). {now+MS} is a time, the same for all of the run. Order is
                                     then looked at among messages with the same values. With delay or
                                     deliver-at no message may come early, and latency counts from its time
          --sub-header name:value    also on each SUBSCRIBE; may be repeated. {...} changes from consumer to
                                     consumer
          --any-order                order is not looked at
          --nack every:N             for e2e: each consumer refuses every Nth (NACK with requeue:false). When
                                     all is over these must be in the dead-letter queue, and no others
          --dead D                   that queue (the destination with .dlq behind it)
          --pid PID                  report the CPU time and memory of this process too
          --json                     one line of JSON

        Exit status: 0 all is well; 1 with one line on standard error when the broker answers ERROR, closes,
        cannot be reached, or a message was lost, doubled, changed, out of order, early or not ours; 2 wrong usage.

        Examples
          brokerbench publish --size 100 --producers 4
          brokerbench e2e --producers 2 --consumers 2 --rate 1000 --pid "$(pidof brokerd)"
          brokerbench e2e --messages 1000000 --sub-header prefetch-count:500 --json
          brokerbench e2e --backlog 1000000 --header 'priority:{0..9}' --pid "$(pidof brokerd)"
          brokerbench e2e --backlog 1000000 --drain --header 'deliver-at:{now+30000}' --grace 60
          brokerbench e2e --header 'half:{0..1}' --consumers 2 --sub-header 'selector:{half = 1,}'
          brokerbench drain --messages 200000 --consumers 2
          brokerbench fanout --consumers 10 --window 10000 --size 100
          brokerbench rtt --persistent --seconds 3
        """
}
