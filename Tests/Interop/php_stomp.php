<?php
// PHP's stomp extension (PECL) against the broker. It sends headers as they are given, so it speaks
// 1.0 by itself and 1.1 and 1.2 when asked to by headers.
//
// php_stomp.php HOST PORT: prints `ok NAME` or `not ok NAME: why` for each case, `done` at the end.
declare(strict_types=1);

const PATIENCE = 10; // seconds for something that must come
const QUIET_MICROSECONDS = 400_000; // in which nothing may come

[, $host, $port] = $argv;
$virtualHost = getenv('INTEROP_HOST') ?: 'localhost';

function check(bool $ok, string $why): void
{
    if (!$ok) {
        throw new Exception($why);
    }
}

function same(mixed $got, mixed $wanted): void
{
    check($got === $wanted, substr(var_export($got, true), 0, 100) . ' instead of ' . substr(var_export($wanted, true), 0, 100));
}

function fresh(string $kind = 'queue'): string
{
    return "/$kind/interop." . bin2hex(random_bytes(12));
}

final class Client
{
    private ?Stomp $stomp;

    public function __construct(private string $version)
    {
        global $host, $port, $virtualHost;
        $headers = $version === '1.0' ? [] : ['accept-version' => $version, 'host' => $virtualHost];
        $this->stomp = new Stomp("tcp://$host:$port", 'guest', 'guest', $headers);
        $this->stomp->setReadTimeout(PATIENCE);
    }

    private function done(bool $ok): void
    {
        check($ok, 'the library says no: ' . ($this->stomp->error() ?: 'nothing more'));
    }

    // With a receipt header the library itself waits for RECEIPT.
    private function receipt(array $headers = []): array
    {
        static $counter = 0;
        return $headers + ['receipt' => 'r' . ++$counter];
    }

    public function publish(string $dest, string $body, array $headers = []): void
    {
        $this->done($this->stomp->send($dest, $body, $this->receipt($headers)));
    }

    public function sendInTransaction(string $dest, string $body): void
    {
        $this->done($this->stomp->send($dest, $body, ['transaction' => 'tx']));
    }

    public function subscribe(string $dest, string $ack = 'auto'): void
    {
        $this->done($this->stomp->subscribe($dest, $this->receipt(['ack' => $ack, 'id' => '1'])));
    }

    public function unsubscribe(string $dest): void
    {
        $this->done($this->stomp->unsubscribe($dest, $this->receipt(['id' => '1'])));
    }

    public function take(): StompFrame
    {
        $frame = $this->stomp->readFrame();
        check($frame !== false, 'no message came; ' . ($this->stomp->error() ?: 'no error either'));
        same($frame->command, 'MESSAGE');
        return $frame;
    }

    public function nothingMore(): void
    {
        $this->stomp->setReadTimeout(0, QUIET_MICROSECONDS);
        $frame = $this->stomp->readFrame();
        $this->stomp->setReadTimeout(PATIENCE);
        check($frame === false, 'a message too many');
    }

    public function settle(StompFrame $frame, string $verb = 'ack', array $headers = []): void
    {
        $names = match ($this->version) {
            '1.0' => [],
            '1.1' => ['subscription' => '1'],
            '1.2' => ['id' => $frame->headers['ack']],
        };
        $this->done($this->stomp->$verb($frame->headers['message-id'], $this->receipt($headers + $names)));
    }

    public function transaction(string $ending, callable $body): void
    {
        $this->done($this->stomp->begin('tx', $this->receipt()));
        $body();
        $this->done($this->stomp->$ending('tx', $this->receipt()));
    }

    // The library disconnects when its object goes.
    public function bye(): void
    {
        $this->stomp = null;
    }
}

$cases = [
    'connects and disconnects' => function (string $v): void {
        (new Client($v))->bye();
    },
    'keeps bytes' => function (string $v): void {
        $client = new Client($v);
        $dest = fresh();
        $bodies = ['plain', "gr\u{fc}\u{df}e \u{2603} \u{1f600}", implode('', array_map('chr', range(0, 255))), "\n\n", str_repeat('x', 300_000)];
        foreach ($bodies as $body) {
            $client->publish($dest, $body, ['content-length' => (string) strlen($body)]);
        }
        $client->subscribe($dest);
        foreach ($bodies as $body) {
            same($client->take()->body, $body);
        }
        $client->bye();
    },
    'keeps a body without content-length' => function (string $v): void {
        $client = new Client($v);
        $dest = fresh();
        $client->publish($dest, 'text');
        $client->subscribe($dest);
        same($client->take()->body, 'text');
        $client->bye();
    },
    'keeps headers' => function (string $v): void {
        $client = new Client($v);
        $dest = fresh();
        $wanted = ['plain' => 'value', 'umlaut' => "\u{fc}\u{2603}"];
        $client->publish($dest, 'x', $wanted);
        $client->subscribe($dest);
        $headers = $client->take()->headers;
        foreach ($wanted + ['destination' => $dest] as $name => $value) {
            same($headers[$name] ?? null, $value);
        }
        $client->bye();
    },
    'acknowledges one by one' => function (string $v): void {
        $client = new Client($v);
        $dest = fresh();
        foreach (['0', '1', '2'] as $body) {
            $client->publish($dest, $body);
        }
        $client->subscribe($dest, 'client-individual');
        $frames = [$client->take(), $client->take(), $client->take()];
        $client->settle($frames[1]);
        $client->bye();
        $client = new Client($v);
        $client->subscribe($dest);
        same([$client->take()->body, $client->take()->body], ['0', '2']);
        $client->nothingMore();
        $client->bye();
    },
    'acknowledges all up to' => function (string $v): void {
        $client = new Client($v);
        $dest = fresh();
        foreach (['0', '1', '2', '3'] as $body) {
            $client->publish($dest, $body);
        }
        $client->subscribe($dest, 'client');
        $frames = [$client->take(), $client->take(), $client->take(), $client->take()];
        $client->settle($frames[2]);
        $client->bye();
        $client = new Client($v);
        $client->subscribe($dest);
        $frame = $client->take();
        same([$frame->body, $frame->headers['redelivered'] ?? null], ['3', 'true']);
        $client->nothingMore();
        $client->bye();
    },
    'nack brings it back' => function (string $v): void {
        $client = new Client($v);
        $dest = fresh();
        $client->publish($dest, 'again');
        $client->subscribe($dest, 'client-individual');
        $client->settle($client->take(), 'nack');
        $frame = $client->take();
        same([$frame->body, $frame->headers['redelivered'] ?? null], ['again', 'true']);
        $client->settle($frame);
        $client->nothingMore();
        $client->bye();
    },
    'commit makes it visible' => function (string $v): void {
        [$client, $reader, $dest] = [new Client($v), new Client($v), fresh()];
        $reader->subscribe($dest);
        $client->transaction('commit', function () use ($client, $reader, $dest): void {
            foreach (['0', '1', '2'] as $body) {
                $client->sendInTransaction($dest, $body);
            }
            $reader->nothingMore();
        });
        same([$reader->take()->body, $reader->take()->body, $reader->take()->body], ['0', '1', '2']);
        $client->bye();
        $reader->bye();
    },
    'abort makes it vanish' => function (string $v): void {
        $client = new Client($v);
        $dest = fresh();
        $client->subscribe($dest);
        $client->transaction('abort', fn () => $client->sendInTransaction($dest, 'never'));
        $client->nothingMore();
        $client->bye();
    },
    'acks in transactions' => function (string $v): void {
        $client = new Client($v);
        $dest = fresh();
        $client->publish($dest, '0');
        $client->publish($dest, '1');
        $client->subscribe($dest, 'client-individual');
        $frames = [$client->take(), $client->take()];
        $client->transaction('abort', fn () => $client->settle($frames[0], 'ack', ['transaction' => 'tx']));
        $client->settle($frames[0]); // the abort made it unacknowledged again
        $client->transaction('commit', fn () => $client->settle($frames[1], 'ack', ['transaction' => 'tx']));
        $client->bye();
        $client = new Client($v);
        $client->subscribe($dest);
        $client->nothingMore();
        $client->bye();
    },
    'publishes to topics' => function (string $v): void {
        $readers = [new Client($v), new Client($v)];
        $dest = fresh('topic');
        foreach ($readers as $reader) {
            $reader->subscribe($dest);
        }
        $client = new Client($v);
        $client->publish($dest, 'to all');
        foreach ($readers as $reader) {
            same($reader->take()->body, 'to all');
            $reader->nothingMore();
            $reader->bye();
        }
        $client->bye();
    },
    'unsubscribes' => function (string $v): void {
        $client = new Client($v);
        $dest = fresh();
        $client->subscribe($dest);
        $client->unsubscribe($dest);
        $client->publish($dest, 'later');
        $client->nothingMore();
        $client->subscribe($dest);
        same($client->take()->body, 'later');
        $client->bye();
    },
];

foreach (['1.0', '1.1', '1.2'] as $version) {
    foreach ($cases as $name => $case) {
        if ($version === '1.0' && str_starts_with($name, 'nack')) {
            continue; // STOMP 1.0 has no NACK
        }
        try {
            $case($version);
            echo "ok $name in $version\n";
        } catch (Throwable $error) { // the report is the point: one case must not hide the others
            echo "not ok $name in $version: " . get_class($error) . ': ' . strtok($error->getMessage(), "\n") . "\n";
        }
    }
}
echo "done\n";
