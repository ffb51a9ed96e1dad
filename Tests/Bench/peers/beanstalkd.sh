#!/usr/bin/env bash
# beanstalkd.sh DIR PORT: beanstalkd with its log, synced at each write.
set -euo pipefail
mkdir -p "$1"
exec beanstalkd -l 127.0.0.1 -p "$2" -b "$1" -f0
