# Makes a database from a copy, where there is no database yet. Needs a POSIX shell, coreutils
# and the programs of Postgres.
#
#   PGDATA                                          the data directory
#   POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB   what the database is made with
#   BACKUPS                                         where the copies lie
#   RESTORE_FILE                                    which of them; the newest when empty
set -eu
umask 077

if [ -s "$PGDATA/PG_VERSION" ]; then
  echo "there is a database already; nothing is restored"
  exit 0
fi
# Everything happens beside the data directory and gets its name at the very end. What an
# interrupted run has left is no database, so it begins anew.
staging="$PGDATA.restoring"
rm -rf -- "$staging"
if [ -e "$PGDATA" ] && ! rmdir -- "$PGDATA"; then
  echo "$PGDATA holds files and no database; they are left alone, and nothing is restored" >&2
  exit 1
fi

file="$BACKUPS/${RESTORE_FILE:-}"
if [ -z "${RESTORE_FILE:-}" ]; then
  # The time is in the name, so the last one is the newest.
  for file in "$BACKUPS"/watchkeeper-*.dump; do :; done
fi
if [ ! -f "$file" ]; then
  echo "there is no copy $file" >&2
  exit 1
fi
pg_restore --list "$file" > /dev/null

# What is only of use meanwhile; a run that was cut off may have left its own.
scratch="${TMPDIR:-/tmp}/restoring"
rm -rf -- "$scratch"
mkdir -- "$scratch"
secret="$scratch/password"
printf '%s\n' "$POSTGRES_PASSWORD" > "$secret"
initdb --pgdata="$staging" --username="$POSTGRES_USER" --pwfile="$secret" --encoding=UTF8 \
  --auth-local=trust --auth-host=scram-sha-256 --no-sync
rm -- "$secret"
printf 'host all all all scram-sha-256\n' >> "$staging/pg_hba.conf"
printf "listen_addresses = '*'\n" >> "$staging/postgresql.conf"

trap 'pg_ctl --pgdata="$staging" --mode=immediate stop > /dev/null 2>&1 || :' EXIT
trap 'exit 143' TERM INT
# Nothing of this outlives a crash, so nothing of it has to reach the disk before the end.
pg_ctl --pgdata="$staging" --wait --timeout=300 --options="-c listen_addresses='' \
  -c unix_socket_directories='$scratch' -c fsync=off -c full_page_writes=off" start
export PGHOST="$scratch" PGUSER="$POSTGRES_USER"
if [ "$POSTGRES_DB" != postgres ]; then
  createdb "$POSTGRES_DB"
fi
pg_restore --single-transaction --exit-on-error --no-owner --no-privileges --dbname="$POSTGRES_DB" "$file"
pg_ctl --pgdata="$staging" --wait --timeout=300 --mode=fast stop
trap - EXIT

initdb --sync-only --pgdata="$staging"
mv -- "$staging" "$PGDATA"
sync "$(dirname -- "$PGDATA")"
echo "$file is restored"
