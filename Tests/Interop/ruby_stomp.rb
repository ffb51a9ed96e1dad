#!/usr/bin/env ruby
# frozen_string_literal: true

# The Ruby gem `stomp` against the broker, in STOMP 1.0, 1.1 and 1.2.
#
# ruby_stomp.rb HOST PORT: prints `ok NAME` or `not ok NAME: why` for each case, `done` at the end.
require 'stomp'
require 'securerandom'
require 'timeout'

HOST = ARGV[0]
PORT = Integer(ARGV[1])
VIRTUAL_HOST = ENV.fetch('INTEROP_HOST', 'localhost')
PATIENCE = 10 # seconds for something that must come
QUIET = 0.4 # seconds in which nothing may come

# One connection; receipts and messages come in one stream.
class Client
  attr_reader :conn, :version

  def initialize(version)
    @version = version
    headers = version == '1.0' ? {} : { 'accept-version': version, host: VIRTUAL_HOST }
    @conn = Timeout.timeout(PATIENCE) do
      Stomp::Connection.new(hosts: [{ login: 'guest', passcode: 'guest', host: HOST, port: PORT }],
                            connect_headers: headers, reliable: false, logger: Stomp::NullLogger.new)
    end
    raise "negotiated #{@conn.protocol}" unless @conn.protocol == version

    @waiting = []
  end

  def frame
    got = Timeout.timeout(PATIENCE) { @conn.receive }
    raise 'the broker closed the connection' if got.nil?
    raise "ERROR #{got.headers} #{got.body}" if got.command == 'ERROR'

    got
  end

  def receipt(id)
    loop do
      got = frame
      return if got.command == 'RECEIPT' && got.headers['receipt-id'] == id

      raise "receipt #{got.headers['receipt-id']} instead of #{id}" if got.command == 'RECEIPT'

      @waiting << got
    end
  end

  def take
    return @waiting.shift unless @waiting.empty?

    got = frame
    raise "#{got.command} instead of MESSAGE" unless got.command == 'MESSAGE'

    got
  end

  def nothing_more
    raise "a message too many: #{@waiting.first.body.inspect}" unless @waiting.empty?

    over = Process.clock_gettime(Process::CLOCK_MONOTONIC) + QUIET
    while Process.clock_gettime(Process::CLOCK_MONOTONIC) < over
      got = @conn.poll
      raise "a frame too many: #{got}" if got

      sleep 0.02
    end
  end

  # Sends with a receipt and waits for it.
  def publish(dest, body, headers = {})
    id = SecureRandom.uuid
    @conn.publish(dest, body, headers.merge('receipt' => id))
    receipt(id)
  end

  def subscribe(dest, ack = 'auto')
    id = SecureRandom.uuid
    @conn.subscribe(dest, { 'ack' => ack, 'receipt' => id, 'id' => '1' })
    receipt(id)
  end

  def settle(message, verb = :ack, transaction = nil)
    id = SecureRandom.uuid
    headers = { 'receipt' => id }
    headers['subscription'] = '1' if @version == '1.1'
    headers['transaction'] = transaction if transaction
    @conn.send(verb, message.headers[@version == '1.2' ? 'ack' : 'message-id'], headers)
    receipt(id)
  end

  def in_transaction(name, ending)
    @conn.begin(name)
    yield
    @conn.send(ending, name, { 'receipt' => "#{ending} #{name}" })
    receipt("#{ending} #{name}")
  end

  def bye
    Timeout.timeout(PATIENCE) { @conn.disconnect('receipt' => 'bye') }
    raise "no receipt of DISCONNECT: #{@conn.disconnect_receipt}" unless
      @conn.disconnect_receipt && @conn.disconnect_receipt.headers['receipt-id'] == 'bye'
  end
end

def fresh(kind = 'queue') = "/#{kind}/interop.#{SecureRandom.hex}"

def same(got, wanted)
  raise "#{got.inspect[0, 120]} instead of #{wanted.inspect[0, 120]}" unless got == wanted
end

CASES = {
  'connects and disconnects' => ->(v) { Client.new(v).bye },

  'keeps bytes' => lambda do |v|
    client = Client.new(v)
    dest = fresh
    bodies = ['plain', "gr\u00fc\u00dfe \u2603 \u{1f600}".b, (0..255).to_a.pack('C*'), "\n\n", 'x' * 300_000]
    bodies.each { |body| client.publish(dest, body) }
    client.subscribe(dest)
    bodies.each { |body| same(client.take.body.b, body.b) }
    client.bye
  end,

  'keeps a body without content-length' => lambda do |v|
    client = Client.new(v)
    dest = fresh
    client.publish(dest, 'text', { suppress_content_length: true })
    client.subscribe(dest)
    same(client.take.body, 'text')
    client.bye
  end,

  'keeps headers' => lambda do |v|
    client = Client.new(v)
    dest = fresh
    wanted = { 'plain' => 'value', 'umlaut' => "\u00fc\u2603" }
    # No backslash in front of n, r or c: this library unescapes its own escapes twice then.
    wanted.update('colon' => 'a:b::c', 'backslash' => 'a\\b\\\\d', 'newline' => "a\nb") unless v == '1.0'
    wanted['return'] = "a\rb" if v == '1.2'
    client.publish(dest, 'x', wanted)
    client.subscribe(dest)
    headers = client.take.headers
    wanted.each { |name, value| same([name, headers[name]&.b], [name, value.b]) }
    same(headers['destination'], dest)
    client.bye
  end,

  'acknowledges one by one' => lambda do |v|
    client = Client.new(v)
    dest = fresh
    3.times { |n| client.publish(dest, n.to_s) }
    client.subscribe(dest, 'client-individual')
    frames = Array.new(3) { client.take }
    client.settle(frames[1])
    client.bye
    client = Client.new(v)
    client.subscribe(dest)
    same(Array.new(2) { client.take.body }, %w[0 2])
    client.nothing_more
    client.bye
  end,

  'acknowledges all up to' => lambda do |v|
    client = Client.new(v)
    dest = fresh
    4.times { |n| client.publish(dest, n.to_s) }
    client.subscribe(dest, 'client')
    frames = Array.new(4) { client.take }
    client.settle(frames[2])
    client.bye
    client = Client.new(v)
    client.subscribe(dest)
    message = client.take
    same([message.body, message.headers['redelivered']], %w[3 true])
    client.nothing_more
    client.bye
  end,

  'nack brings it back' => lambda do |v|
    client = Client.new(v)
    dest = fresh
    client.publish(dest, 'again')
    client.subscribe(dest, 'client-individual')
    client.settle(client.take, :nack)
    message = client.take
    same([message.body, message.headers['redelivered']], %w[again true])
    client.settle(message)
    client.nothing_more
    client.bye
  end,

  'commit makes it visible' => lambda do |v|
    client = Client.new(v)
    reader = Client.new(v)
    dest = fresh
    reader.subscribe(dest)
    client.in_transaction('tx', :commit) do
      3.times { |n| client.conn.publish(dest, n.to_s, { 'transaction' => 'tx' }) }
      reader.nothing_more
    end
    same(Array.new(3) { reader.take.body }, %w[0 1 2])
    client.bye
    reader.bye
  end,

  'abort makes it vanish' => lambda do |v|
    client = Client.new(v)
    dest = fresh
    client.subscribe(dest)
    client.in_transaction('tx', :abort) { client.conn.publish(dest, 'never', { 'transaction' => 'tx' }) }
    client.nothing_more
    client.bye
  end,

  'acks in transactions' => lambda do |v|
    client = Client.new(v)
    dest = fresh
    2.times { |n| client.publish(dest, n.to_s) }
    client.subscribe(dest, 'client-individual')
    frames = Array.new(2) { client.take }
    ack = lambda do |message|
      headers = { 'transaction' => 'tx' }
      headers['subscription'] = '1' if v == '1.1'
      client.conn.ack(message.headers[v == '1.2' ? 'ack' : 'message-id'], headers)
    end
    client.in_transaction('tx', :abort) { ack.call(frames[0]) }
    client.settle(frames[0]) # the abort made it unacknowledged again
    client.in_transaction('tx', :commit) { ack.call(frames[1]) }
    client.bye
    client = Client.new(v)
    client.subscribe(dest)
    client.nothing_more
    client.bye
  end,

  'publishes to topics' => lambda do |v|
    readers = [Client.new(v), Client.new(v)]
    dest = fresh('topic')
    readers.each { |reader| reader.subscribe(dest) }
    client = Client.new(v)
    client.publish(dest, 'to all')
    readers.each do |reader|
      same(reader.take.body, 'to all')
      reader.nothing_more
      reader.bye
    end
    client.bye
  end,

  'unsubscribes' => lambda do |v|
    client = Client.new(v)
    dest = fresh
    client.subscribe(dest)
    client.conn.unsubscribe(dest, { 'id' => '1', 'receipt' => 'gone' })
    client.receipt('gone')
    client.publish(dest, 'later')
    client.nothing_more
    client.subscribe(dest)
    same(client.take.body, 'later')
    client.bye
  end
}.freeze

%w[1.0 1.1 1.2].each do |version|
  CASES.each do |name, test|
    next if version == '1.0' && name.start_with?('nack') # STOMP 1.0 has no NACK

    test.call(version)
    puts "ok #{name} in #{version}"
  rescue StandardError => e # the report is the point: one case must not hide the others
    puts "not ok #{name} in #{version}: #{e.class}: #{e.message.tr("\n\0", '  ')}"
  end
end
puts 'done'
