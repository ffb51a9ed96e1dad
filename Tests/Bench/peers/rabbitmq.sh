#!/usr/bin/env bash
# rabbitmq.sh DIR PORT: RabbitMQ with nothing but its STOMP plugin, login guest/guest, classic queues.
set -euo pipefail
dir=$1 port=$2
mkdir -p "$dir/mnesia" "$dir/log" "$dir/home"
cat >"$dir/rabbitmq.conf" <<END
listeners.tcp = none
stomp.listeners.tcp.1 = 127.0.0.1:$port
log.file.level = warning
END
echo '[rabbitmq_stomp].' >"$dir/enabled_plugins"
export HOME=$dir/home
export RABBITMQ_NODENAME=bench$port@localhost
export RABBITMQ_NODE_IP_ADDRESS=127.0.0.1
# Where the node listens for others: not where a free port was found for us, but as likely to be free.
export RABBITMQ_DIST_PORT=$((port > 40000 ? port - 20000 : port + 20000))
export RABBITMQ_MNESIA_BASE=$dir/mnesia
export RABBITMQ_LOG_BASE=$dir/log
export RABBITMQ_CONFIG_FILE=$dir/rabbitmq
export RABBITMQ_ENABLED_PLUGINS_FILE=$dir/enabled_plugins
export RABBITMQ_PID_FILE=$dir/pid
export ERL_CRASH_DUMP=$dir/erl_crash.dump
# Erlang's directory of names, of our own, so that it ends with us.
export ERL_EPMD_ADDRESS=127.0.0.1
export ERL_EPMD_PORT=$((RABBITMQ_DIST_PORT + 1))
epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 &
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
# Debian's own command changes to its own user; this one runs as whoever measures.
exec "$(echo /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server)"
