#!/bin/bash
# Tern with 1,000 rules and 10,000 aliases, to be compared with Tern without: bench.py accept --mta tern,tern-loaded
export TERN_RULES=${TERN_RULES:-1000} TERN_ALIASES=${TERN_ALIASES:-10000} TERN_NAME=tern-loaded
exec "$(dirname "$0")/tern.sh" "$@"
