#!/usr/bin/env bash
# Makes a database in an empty PGDATA as the official image's variables ask, then runs what it
# was given. Knows what its readers use: POSTGRES_PASSWORD, POSTGRES_USER, POSTGRES_DB (each also
# as a file by the name with _FILE), POSTGRES_INITDB_ARGS, POSTGRES_HOST_AUTH_METHOD, PGDATA and
# the scripts in /docker-entrypoint-initdb.d.
set -euo pipefail

fail() {
    echo "docker-entrypoint.sh: $*" >&2
    exit 1
}

# from_file NAME: NAME becomes the content of the file that NAME_FILE names.
from_file() {
    local name="$1" file="$1_FILE"
    [ -n "${!file:-}" ] || return 0
    [ -z "${!name:-}" ] || fail "$name and $file exclude each other"
    export "$name=$(<"${!file}")"
    unset "$file"
}

local_psql() {
    PGPASSWORD="$POSTGRES_PASSWORD" psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" "$@"
}

run_scripts() {
    local script
    for script in /docker-entrypoint-initdb.d/*; do
        case "$script" in
        *.sh)
            # shellcheck disable=SC1090
            if [ -x "$script" ]; then "$script"; else . "$script"; fi
            ;;
        *.sql) local_psql --dbname "$POSTGRES_DB" --file "$script" ;;
        *.sql.gz) gunzip --stdout "$script" | local_psql --dbname "$POSTGRES_DB" ;;
        *) ;;
        esac
    done
}

create() {
    if [ -z "$POSTGRES_PASSWORD" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
        fail "POSTGRES_PASSWORD is not set"
    fi
    # shellcheck disable=SC2086  # Several arguments, as the variable's name says.
    initdb --username="$POSTGRES_USER" ${POSTGRES_PASSWORD:+--pwfile=/dev/stdin} ${POSTGRES_INITDB_ARGS:-} \
        <<<"$POSTGRES_PASSWORD"
    printf '\nhost all all all %s\n' \
        "${POSTGRES_HOST_AUTH_METHOD:-$(postgres -C password_encryption)}" >>"$PGDATA/pg_hba.conf"

    # On the socket alone: nobody else is let in before everything is there.
    pg_ctl --wait -o "-c listen_addresses='' -p ${PGPORT:-5432}" start
    if [ "$POSTGRES_DB" != postgres ]; then
        local_psql --dbname postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
    fi
    run_scripts
    pg_ctl --wait --mode fast stop
}

case "${1:-}" in
'' | -*) set -- postgres "$@" ;;
esac

asks_only() {
    case " $* " in
    *' --help '* | *' --version '* | *' -V '* | *' -? '* | *' --describe-config '*) return 0 ;;
    *) return 1 ;;
    esac
}

if [ "$1" = postgres ] && ! asks_only "$@"; then
    [ "$(id -u)" != 0 ] || fail "the server does not run as root; run it as 999"
    from_file POSTGRES_PASSWORD
    from_file POSTGRES_USER
    from_file POSTGRES_DB
    from_file POSTGRES_INITDB_ARGS
    : "${POSTGRES_PASSWORD:=}" "${POSTGRES_USER:=postgres}" "${POSTGRES_DB:=${POSTGRES_USER}}"
    export POSTGRES_PASSWORD POSTGRES_USER POSTGRES_DB
    mkdir -p "$PGDATA"
    chmod 00700 "$PGDATA" || true
    [ -s "$PGDATA/PG_VERSION" ] || create
fi

exec "$@"
