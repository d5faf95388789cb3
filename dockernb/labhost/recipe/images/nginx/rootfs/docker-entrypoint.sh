#!/bin/sh
# Before nginx starts: run what lies in /docker-entrypoint.d, in the order of its names.
set -e

if [ "$1" = nginx ]; then
    for step in /docker-entrypoint.d/*; do
        case "$step" in
            *.envsh) [ ! -x "$step" ] || . "$step" ;;
            *.sh) [ ! -x "$step" ] || "$step" ;;
        esac
    done
fi

exec "$@"
