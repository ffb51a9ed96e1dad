#!/usr/bin/env bash
# nats.sh DIR PORT: nats-server with JetStream and its file store. It syncs every two minutes, not each message.
set -euo pipefail
mkdir -p "$1"
exec nats-server -a 127.0.0.1 -p "$2" -js -sd "$1/jetstream"
