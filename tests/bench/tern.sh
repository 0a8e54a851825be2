#!/bin/bash
# Adapter for benchmarks that compare mail servers. TERN_BUILD: the build folder (a release build).
set -eu
B=${TERN_BUILD:-$(cd "$(dirname "$0")/../.." && pwd)/build-release}
D=$BENCH_PEERS/tern
case $1 in
version) echo "Tern $(sed -n "s/.*version: '\([0-9.]*\)'.*/\1/p" "$(dirname "$0")/../../meson.build" | head -1)" ;;
configure)
  mkdir -p "$D"
  chmod 755 "$D"
  cp "$BENCH_TLS_CERT" "$D/cert.pem"; cp "$BENCH_TLS_KEY" "$D/key.pem"; chmod 600 "$D/key.pem"
  # "hold" accepts durably and delivers nothing: every recipient waits for a port where nobody is, for a long time.
  sink="$BENCH_SINK_HOST:$BENCH_SINK_PORT" first=1s
  [ "$BENCH_MODE" = hold ] && sink=127.0.0.1:9 first=1h
  cat > "$D/tern.yaml" <<C
hostname: bench.test
control: $D/control
users: { smtpd: nobody, queue: nobody, delivery: nobody, dns: nobody, local: nobody, auth: nobody, keys: nobody }
listen:
  - address: 127.0.0.1:$BENCH_PORT
tls: { certificate: $D/cert.pem, key: $D/key.pem }
routes:
  - { domain: "*", via: "smtp://$sink", tls: none }
spool: { path: $D/spool }
retry: { first: $first, longest: 4h }
limits: { connections: $((BENCH_MAX_SESSIONS + 100)), connections-per-client: $((BENCH_MAX_SESSIONS + 100)) }
workers: { smtpd: ${TERN_SMTPD:-0}, delivery: ${TERN_DELIVERY:-1} }
log: { level: ${TERN_LOG:-info} }
C
  ;;
start) exec "$B/master/tern-master" --config "$D/tern.yaml" ;;
stop) exit 3 ;;
clear) rm -rf "$D/spool" ;;
queue_dir) echo "$D/spool" ;;
list) "$B/tools/tern" --config "$D/tern.yaml" queue list ;;
flush) "$B/tools/tern" --config "$D/tern.yaml" queue retry --all ;;
*) exit 3 ;;
esac
