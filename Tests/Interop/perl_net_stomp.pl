#!/usr/bin/perl
# Perl's Net::Stomp against the broker, in STOMP 1.0, 1.1 and 1.2. (The library escapes nothing, so
# header values here are plain; it closes its socket right behind DISCONNECT.)
#
# perl_net_stomp.pl HOST PORT: prints `ok NAME` or `not ok NAME: why` for each case, `done` at the end.
use strict;
use warnings;
use Net::Stomp;

$| = 1;
my ( $host, $port ) = @ARGV;
my $virtual_host = $ENV{INTEROP_HOST} // 'localhost';
my $patience     = 10;     # seconds for something that must come
my $quiet        = 0.4;    # seconds in which nothing may come
my $counter      = 0;
srand;
my $run = sprintf '%d.%08x', $$, int rand 2**32;

sub fresh { my $kind = shift // 'queue'; $counter++; return "/$kind/interop.$run.$counter" }
sub next_id { $counter++; return "r$counter" }

sub client {
    my ($version) = @_;
    my $stomp = Net::Stomp->new( { hostname => $host, port => $port, timeout => $patience } );
    my %headers = ( login => 'guest', passcode => 'guest' );
    %headers = ( %headers, 'accept-version' => $version, host => $virtual_host ) if $version ne '1.0';
    my $frame = $stomp->connect( \%headers );
    die "not connected\n" unless $frame && $frame->command eq 'CONNECTED';
    my $negotiated = $frame->headers->{version} // '1.0';
    die "negotiated $negotiated\n" unless $negotiated eq $version;
    return { stomp => $stomp, version => $version, waiting => [] };
}

sub frame {
    my ( $client, $timeout ) = @_;
    my $frame = $client->{stomp}->receive_frame( { timeout => $timeout // $patience } );
    return unless $frame;
    die 'ERROR ' . ( $frame->headers->{message} // '' ) . "\n" if $frame->command eq 'ERROR';
    return $frame;
}

sub receipt {
    my ( $client, $id ) = @_;
    while ( my $frame = frame($client) ) {
        if ( $frame->command eq 'RECEIPT' ) {
            my $got = $frame->headers->{'receipt-id'};
            die "receipt $got instead of $id\n" unless $got eq $id;
            return;
        }
        push @{ $client->{waiting} }, $frame;
    }
    die "no receipt $id came\n";
}

sub take {
    my ($client) = @_;
    my $frame = shift( @{ $client->{waiting} } ) || frame($client) or die "no message came\n";
    die $frame->command . " instead of MESSAGE\n" unless $frame->command eq 'MESSAGE';
    return $frame;
}

sub nothing_more {
    my ($client) = @_;
    my $frame = shift( @{ $client->{waiting} } ) || frame( $client, $quiet );
    die 'a frame too many: ' . $frame->command . "\n" if $frame;
    return;
}

sub publish {
    my ( $client, $dest, $body, %headers ) = @_;
    my $ok = $client->{stomp}->send_with_receipt( { destination => $dest, body => $body, %headers } );
    die "no receipt of SEND\n" unless $ok;
    return;
}

sub subscribe {
    my ( $client, $dest, $ack ) = @_;
    my $id = next_id();
    $client->{stomp}->subscribe( { destination => $dest, id => 1, ack => $ack // 'auto', receipt => $id } );
    receipt( $client, $id );
    return;
}

# The headers that name a message in this version.
sub names {
    my ( $client, $frame ) = @_;
    return ( id => $frame->headers->{ack} ) if $client->{version} eq '1.2';
    return $client->{version} eq '1.1' ? ( subscription => 1 ) : ();
}

sub settle {
    my ( $client, $frame, $verb ) = @_;
    my $id = next_id();
    $verb //= 'ack';
    $client->{stomp}->$verb( { frame => $frame, names( $client, $frame ), receipt => $id } );
    receipt( $client, $id );
    return;
}

sub command {
    my ( $client, $command, $transaction ) = @_;
    my $id    = next_id();
    my $frame = Net::Stomp::Frame->new(
        { command => $command, headers => { transaction => $transaction, receipt => $id } } );
    $client->{stomp}->send_frame($frame);
    receipt( $client, $id );
    return;
}

sub bye { my ($client) = @_; $client->{stomp}->disconnect; return }

sub same {
    my ( $got, $wanted ) = @_;
    $got //= '(none)';
    die substr( "'$got' instead of '$wanted'", 0, 200 ) . "\n" unless $got eq $wanted;
    return;
}

my @cases = (
    [
        'connects and disconnects' => sub {
            my $client = client(shift);
            my $frame  = Net::Stomp::Frame->new( { command => 'DISCONNECT', headers => { receipt => 'bye' } } );
            $client->{stomp}->send_frame($frame);
            receipt( $client, 'bye' );
        }
    ],
    [
        'keeps bytes' => sub {
            my $client = client(shift);
            my $dest   = fresh();
            my @bodies = ( 'plain', "gr\xc3\xbc\xc3\x9fe \xe2\x98\x83", join( '', map { chr } 0 .. 255 ), "\n\n", 'x' x 300_000 );
            publish( $client, $dest, $_, bytes_message => 1 ) for @bodies;
            subscribe( $client, $dest );
            same( take($client)->body, $_ ) for @bodies;
            bye($client);
        }
    ],
    [
        'keeps a body without content-length' => sub {
            my $client = client(shift);
            my $dest   = fresh();
            publish( $client, $dest, $_ ) for 'text', '';
            subscribe( $client, $dest );
            same( take($client)->body, $_ ) for 'text', '';
            bye($client);
        }
    ],
    [
        'keeps headers' => sub {
            my $client = client(shift);
            my $dest   = fresh();
            my %wanted = ( plain => 'value', umlaut => "\xc3\xbc\xe2\x98\x83" );
            publish( $client, $dest, 'x', %wanted );
            subscribe( $client, $dest );
            my $headers = take($client)->headers;
            same( $headers->{$_}, $wanted{$_} ) for sort keys %wanted;
            same( $headers->{destination}, $dest );
            bye($client);
        }
    ],
    [
        'acknowledges one by one' => sub {
            my $version = shift;
            my $client  = client($version);
            my $dest    = fresh();
            publish( $client, $dest, $_ ) for 1 .. 3;
            subscribe( $client, $dest, 'client-individual' );
            my @frames = map { take($client) } 1 .. 3;
            settle( $client, $frames[1] );
            bye($client);
            $client = client($version);
            subscribe( $client, $dest );
            same( take($client)->body, $_ ) for 1, 3;
            nothing_more($client);
            bye($client);
        }
    ],
    [
        'acknowledges all up to' => sub {
            my $version = shift;
            my $client  = client($version);
            my $dest    = fresh();
            publish( $client, $dest, $_ ) for 1 .. 4;
            subscribe( $client, $dest, 'client' );
            my @frames = map { take($client) } 1 .. 4;
            settle( $client, $frames[2] );
            bye($client);
            $client = client($version);
            subscribe( $client, $dest );
            my $frame = take($client);
            same( $frame->body, 4 );
            same( $frame->headers->{redelivered}, 'true' );
            nothing_more($client);
            bye($client);
        }
    ],
    [
        'an acknowledgement without receipt counts although the socket closes' => sub {
            my $version = shift;
            my $client  = client($version);
            my $dest    = fresh();
            publish( $client, $dest, 'once' );
            subscribe( $client, $dest, 'client' );
            my $frame = take($client);
            $client->{stomp}->ack( { frame => $frame, names( $client, $frame ) } );
            bye($client);
            $client = client($version);
            subscribe( $client, $dest );
            nothing_more($client);
            bye($client);
        }
    ],
    [
        'nack brings it back' => sub {
            my $client = client(shift);
            my $dest   = fresh();
            publish( $client, $dest, 'again' );
            subscribe( $client, $dest, 'client-individual' );
            settle( $client, take($client), 'nack' );
            my $frame = take($client);
            same( $frame->body, 'again' );
            same( $frame->headers->{redelivered}, 'true' );
            settle( $client, $frame );
            nothing_more($client);
            bye($client);
        }
    ],
    [
        'commit makes it visible' => sub {
            my $version = shift;
            my ( $client, $reader, $dest ) = ( client($version), client($version), fresh() );
            subscribe( $reader, $dest );
            command( $client, 'BEGIN', 'tx' );
            $client->{stomp}->send( { destination => $dest, body => $_, transaction => 'tx' } ) for 1 .. 3;
            nothing_more($reader);
            command( $client, 'COMMIT', 'tx' );
            same( take($reader)->body, $_ ) for 1 .. 3;
            bye($_) for $client, $reader;
        }
    ],
    [
        'abort makes it vanish' => sub {
            my $client = client(shift);
            my $dest   = fresh();
            subscribe( $client, $dest );
            command( $client, 'BEGIN', 'tx' );
            $client->{stomp}->send( { destination => $dest, body => 'never', transaction => 'tx' } );
            command( $client, 'ABORT', 'tx' );
            nothing_more($client);
            bye($client);
        }
    ],
    [
        # send_transactional waits for the receipt of a SEND inside its transaction before it commits.
        'the receipt of a send inside a transaction comes before the commit' => sub {
            my $client = client(shift);
            my $dest   = fresh();
            die "no receipt\n" unless $client->{stomp}->send_transactional( { destination => $dest, body => 'tx', timeout => 5 } );
            subscribe( $client, $dest );
            same( take($client)->body, 'tx' );
            bye($client);
        }
    ],
    [
        'acks in transactions' => sub {
            my $version = shift;
            my $client  = client($version);
            my $dest    = fresh();
            publish( $client, $dest, $_ ) for 1 .. 2;
            subscribe( $client, $dest, 'client-individual' );
            my @frames = map { take($client) } 1 .. 2;
            my $ack    = sub {
                my $frame = shift;
                $client->{stomp}->ack( { frame => $frame, names( $client, $frame ), transaction => 'tx' } );
            };
            command( $client, 'BEGIN', 'tx' );
            $ack->( $frames[0] );
            command( $client, 'ABORT', 'tx' );
            settle( $client, $frames[0] );    # the abort made it unacknowledged again
            command( $client, 'BEGIN', 'tx' );
            $ack->( $frames[1] );
            command( $client, 'COMMIT', 'tx' );
            bye($client);
            $client = client($version);
            subscribe( $client, $dest );
            nothing_more($client);
            bye($client);
        }
    ],
    [
        'publishes to topics' => sub {
            my $version = shift;
            my @readers = map { client($version) } 1 .. 2;
            my $dest    = fresh('topic');
            subscribe( $_, $dest ) for @readers;
            my $client = client($version);
            publish( $client, $dest, 'to all' );
            for my $reader (@readers) {
                same( take($reader)->body, 'to all' );
                nothing_more($reader);
            }
            bye($_) for $client, @readers;
        }
    ],
    [
        'unsubscribes' => sub {
            my $client = client(shift);
            my $dest   = fresh();
            subscribe( $client, $dest );
            my $id = next_id();
            $client->{stomp}->unsubscribe( { destination => $dest, id => 1, receipt => $id } );
            receipt( $client, $id );
            publish( $client, $dest, 'later' );
            nothing_more($client);
            subscribe( $client, $dest );
            same( take($client)->body, 'later' );
            bye($client);
        }
    ],
);

for my $version (qw(1.0 1.1 1.2)) {
    for my $case (@cases) {
        my ( $name, $test ) = @$case;
        next if $version eq '1.0' && $name =~ /^nack/;    # STOMP 1.0 has no NACK
        if ( eval { $test->($version); 1 } ) {
            print "ok $name in $version\n";
        }
        else {
            ( my $why = $@ ) =~ s/\n.*//s;
            print "not ok $name in $version: $why\n";
        }
    }
}
print "done\n";
