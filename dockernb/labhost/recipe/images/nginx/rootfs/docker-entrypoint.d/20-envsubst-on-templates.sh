#!/bin/sh
# Every /etc/nginx/templates/NAME.template becomes /etc/nginx/conf.d/NAME, with the environment's variables filled in.
# Only variables that exist are filled in, so that nginx's own ($host, $remote_addr) stay.
set -e

templates=${NGINX_ENVSUBST_TEMPLATE_DIR:-/etc/nginx/templates}
suffix=${NGINX_ENVSUBST_TEMPLATE_SUFFIX:-.template}
output=${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}
[ -d "$templates" ] || exit 0

known=$(awk -v filter="${NGINX_ENVSUBST_FILTER:-}" \
    'BEGIN { for (name in ENVIRON) if (name ~ filter) printf "${%s} ", name }')
find "$templates" -follow -type f -name "*$suffix" | while read -r template; do
    name=${template#"$templates/"}
    target=$output/${name%"$suffix"}
    mkdir -p "${target%/*}"
    envsubst "$known" < "$template" > "$target"
done
