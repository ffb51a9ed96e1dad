#!/usr/bin/env bash
# redis.sh DIR PORT: Redis with its log on, synced before each answer, and no snapshots.
set -euo pipefail
mkdir -p "$1"
exec redis-server --bind 127.0.0.1 --port "$2" --dir "$1" --daemonize no --save '' --appendonly yes \
    --appendfsync always --maxclients 20000
