#!/bin/bash
# Adapter for benchmarks that compare mail servers. In the environment:
#   TERN_BUILD=FOLDER                         a release build
#   TERN_SMTPD=N, TERN_DELIVERY=N             processes
#   TERN_LOG=LEVEL
#   TERN_RULES=N, TERN_ALIASES=N              so many of them; tern-loaded.sh beside this has 1,000 and 10,000
set -eu
B=${TERN_BUILD:-$(cd "$(dirname "$0")/../.." && pwd)/build-release}
D=$BENCH_PEERS/${TERN_NAME:-tern}

# Rules none of which fits, of the kinds that people write, one in 50 a pattern; and aliases.
load() {
  if [ "${TERN_ALIASES:-0}" -gt 0 ]; then
    seq -f 'alias%.0f: box' "$TERN_ALIASES" > "$D/aliases"
    mkdir -p "$D/mail"
    chmod 777 "$D/mail"
    echo "domains: { local.test: { deliver: maildir } }"
    echo "maildir: { root: $D/mail }"
    echo "mailboxes: { box@local.test: box, postmaster: box }"
    echo "alias-files: [ $D/aliases ]"
  fi
  [ "${TERN_RULES:-0}" -gt 0 ] || return 0
  echo "rules:"
  for ((i = 0; i < TERN_RULES; i++)); do
    [ $((i % 50)) -gt 0 ] || { echo "  - { sender: \"/^[a-z]+-$i@.*[.]test\$/\", then: refuse }"; continue; }
    case $((i % 4)) in
    0) echo "  - { client: 198.51.$((i / 256 % 256)).$((i % 256)), then: refuse }" ;;
    1) echo "  - { sender: [\"user$i@spam.test\", \"@spam$i.test\"], then: refuse }" ;;
    2) echo "  - { recipient: \"user$i@sink.test\", then: tag t$i }" ;;
    3) echo "  - { helo: .bad$i.test, then: defer }" ;;
    esac
  done
}

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
  load >> "$D/tern.yaml"
  ;;
start) exec "$B/master/tern-master" --config "$D/tern.yaml" ;;
stop) exit 3 ;;
clear) rm -rf "$D/spool" ;;
queue_dir) echo "$D/spool" ;;
list) "$B/tools/tern" --config "$D/tern.yaml" queue list ;;
flush) "$B/tools/tern" --config "$D/tern.yaml" queue retry --all ;;
*) exit 3 ;;
esac
