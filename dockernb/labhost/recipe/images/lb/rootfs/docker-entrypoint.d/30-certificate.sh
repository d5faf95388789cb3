#!/bin/sh
# A self-signed certificate, unless one is mounted at /etc/nginx/tls.
set -e

mkdir -p /etc/nginx/tls
[ -s /etc/nginx/tls/cert.pem ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
    -subj "/CN=${SERVER_NAME:-localhost}" -addext "subjectAltName=DNS:${SERVER_NAME:-localhost}" \
    -keyout /etc/nginx/tls/key.pem -out /etc/nginx/tls/cert.pem 2> /dev/null
