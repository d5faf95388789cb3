#!/bin/bash
# Make a database at the first start, then become the server.
# The environment is that of the official image: POSTGRES_PASSWORD, POSTGRES_USER, POSTGRES_DB, POSTGRES_INITDB_ARGS
# (each also as NAME_FILE, the path of a file that holds the value), POSTGRES_INITDB_WALDIR,
# POSTGRES_HOST_AUTH_METHOD, PGDATA; scripts in /docker-entrypoint-initdb.d.
set -Eeuo pipefail

fail() {
    echo "error: $*" >&2
    exit 1
}

# setting NAME DEFAULT: take NAME from the environment or from the file that NAME_FILE names.
setting() {
    local file_name=${1}_FILE
    if [[ -n ${!1:-} && -n ${!file_name:-} ]]; then
        fail "both $1 and $file_name are set: set one of them"
    elif [[ -n ${!file_name:-} ]]; then
        [[ -r ${!file_name} ]] || fail "$file_name names ${!file_name}, which cannot be read"
        printf -v "$1" %s "$(< "${!file_name}")"
    else
        printf -v "$1" %s "${!1:-$2}"
    fi
    unset "$file_name"
}

become_postgres() {
    mkdir -p "$PGDATA" /run/postgresql ${POSTGRES_INITDB_WALDIR:+"$POSTGRES_INITDB_WALDIR"}
    find "$PGDATA" /run/postgresql ${POSTGRES_INITDB_WALDIR:+"$POSTGRES_INITDB_WALDIR"} \
        \! -user postgres -exec chown postgres '{}' +
    HOME=/var/lib/postgresql exec setpriv --reuid=postgres --regid=postgres --init-groups "$BASH_SOURCE" "$@"
}

make_database() {
    setting POSTGRES_PASSWORD ''
    setting POSTGRES_USER postgres
    setting POSTGRES_DB "$POSTGRES_USER"
    setting POSTGRES_INITDB_ARGS ''
    local method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256} found
    if [[ -z $POSTGRES_PASSWORD && $method != trust ]]; then
        fail "the database needs a password: set POSTGRES_PASSWORD" \
            "(or POSTGRES_HOST_AUTH_METHOD=trust to let anyone in without one)"
    fi
    found=$(ls -A "$PGDATA" | head -3 | paste -sd' ')
    [[ -z $found ]] || fail "$PGDATA holds no database but is not empty ($found):" \
        "set PGDATA to a directory below it, such as $PGDATA/pgdata"

    # What initdb says at length is no news in a container's log. Whoever loses power here starts over: no fsync.
    eval "initdb --username=\"\$POSTGRES_USER\" --pwfile=<(printf '%s\n' \"\$POSTGRES_PASSWORD\") \
        --no-sync --no-instructions --auth-local=trust --auth-host=\"\$method\" --set listen_addresses='*' \
        ${POSTGRES_INITDB_WALDIR:+--waldir=\"\$POSTGRES_INITDB_WALDIR\"} $POSTGRES_INITDB_ARGS" > /dev/null
    printf '\nhost all all all %s\n' "$method" >> "$PGDATA/pg_hba.conf"
    if [[ $POSTGRES_DB != postgres ]]; then
        # A server in single-user mode: no second start, no socket.
        echo "CREATE DATABASE \"${POSTGRES_DB//\"/\"\"}\"" |
            postgres --single -c exit_on_error=on -c fsync=off -D "$PGDATA" postgres > /dev/null
    fi
}

run_scripts() {
    local script
    # A server that nobody outside can reach yet.
    pg_ctl --pgdata="$PGDATA" --options="-c listen_addresses=''" --silent --wait start
    for script in /docker-entrypoint-initdb.d/*; do
        echo "running $script"
        case $script in
            *.sh) if [[ -x $script ]]; then "$script"; else . "$script"; fi ;;
            *.sql) run_sql < "$script" ;;
            *.sql.gz) gunzip -c "$script" | run_sql ;;
            *.sql.xz) xzcat "$script" | run_sql ;;
            *.sql.zst) zstdcat "$script" | run_sql ;;
            *) echo "ignoring $script" ;;
        esac
    done
    pg_ctl --pgdata="$PGDATA" --mode=fast --silent --wait stop
}

run_sql() {
    psql --set ON_ERROR_STOP=1 --no-psqlrc --username "$POSTGRES_USER" --dbname "$POSTGRES_DB"
}

[[ ${1:0:1} != - ]] || set -- postgres "$@"
if [[ $1 == postgres ]]; then
    [[ $(id -u) != 0 ]] || become_postgres "$@"
    mkdir -p "$PGDATA"
    if [[ ! -s $PGDATA/PG_VERSION ]]; then
        make_database
        export POSTGRES_USER POSTGRES_DB POSTGRES_PASSWORD PGPASSWORD=$POSTGRES_PASSWORD
        [[ -z $(ls -A /docker-entrypoint-initdb.d) ]] || run_scripts
        unset PGPASSWORD
        echo "The database is made; PostgreSQL starts."
    fi
fi
exec "$@"
