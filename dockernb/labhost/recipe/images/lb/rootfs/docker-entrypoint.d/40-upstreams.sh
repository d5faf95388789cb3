#!/bin/sh
# nginx resolves the names in an "upstream" block only once, at start, and does not start when one is unknown.
# So each name in UPSTREAMS gets a server block of its own behind a socket, which resolves the name for each request;
# the balancer spreads requests over the sockets. Where an upstream does not answer its block hangs up (444), which
# makes the balancer try the next one; an error that an upstream itself sends is passed on as it is.
set -e

if [ -z "$UPSTREAMS" ]; then
    echo "error: there is nothing to balance: set UPSTREAMS to names and ports, such as 'web-1:80 web-2:80'" >&2
    exit 1
fi
rm -f /run/upstream-*.sock
number=0
for upstream in $UPSTREAMS; do
    number=$((number + 1))
    members="$members    server unix:/run/upstream-$number.sock max_fails=2 fail_timeout=5s;
"
    cat << END
server {
    listen unix:/run/upstream-$number.sock;
    access_log off;
    set \$name $upstream;
    location / {
        proxy_pass http://\$name;
        proxy_set_header Host \$http_host;
        proxy_connect_timeout 2s;
        proxy_read_timeout 15s;
        add_header X-Upstream "\$name (\$upstream_addr)" always;
        error_page 502 504 @gone;
    }
    location @gone {
        return 444;
    }
}
END
done > /etc/nginx/conf.d/upstreams.conf
printf 'upstream web {\n    zone web 64k;\n%s}\n' "$members" >> /etc/nginx/conf.d/upstreams.conf
