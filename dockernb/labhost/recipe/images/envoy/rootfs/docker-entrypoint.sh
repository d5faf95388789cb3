#!/bin/sh
# As in the official image: options alone are Envoy's.
set -e

case "$1" in
    -*) set -- envoy "$@" ;;
esac

exec "$@"
