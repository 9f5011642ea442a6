# Makes one copy of the database and keeps the newest ones. Needs a POSIX shell, coreutils and
# the programs of Postgres.
#
#   PGHOST, PGPORT, PGUSER, PGDATABASE   the database
#   PASSWORD_FILE                        file with its password
#   BACKUPS                              where the copies lie
#   KEEP                                 how many of this database are kept
set -eu
umask 077

# libpq refuses a file that its group can read, and that is how a mounted Secret comes.
export PGPASSFILE="${TMPDIR:-/tmp}/pgpass"
read -r password < "$PASSWORD_FILE" || [ -n "$password" ]
case "$password" in
  *[!-A-Za-z0-9._~]*)
    echo "the password in the Secret has other characters than letters, digits and -._~; correct it" >&2
    exit 1
    ;;
esac
printf '*:*:*:*:%s\n' "$password" > "$PGPASSFILE"
unset password

cd "$BACKUPS"
now=$(date +%s)
for left in *.part; do
  # What nobody has written to for minutes is left over; anything else is a copy under way.
  if [ -e "$left" ] && [ $((now - $(date -r "$left" +%s))) -gt 300 ]; then
    rm -f -- "$left"
  fi
done

tries=0
until pg_isready -q; do
  tries=$((tries + 1))
  if [ "$tries" -ge "${PATIENCE:-60}" ]; then
    echo "the database does not answer" >&2
    exit 1
  fi
  sleep 5
done

# Which database it is stands in the name, so that a new one does not push out the copies of the one
# that was lost.
database=$(psql -X -A -t -q -c 'SELECT system_identifier FROM pg_control_system()')
case "$database" in
  '' | *[!0-9]*)
    echo "the database does not say which it is: $database" >&2
    exit 1
    ;;
esac
name="watchkeeper-$(date -u +%Y%m%dT%H%M%SZ)-$database.dump"
part="$name.${HOSTNAME:-$$}.part"
child=
trap 'rm -f -- "$part"' EXIT
trap '[ -z "$child" ] || kill "$child" 2> /dev/null || :; exit 143' TERM INT
# The shell hears of a signal only when nothing runs in its foreground.
patiently() {
  "$@" &
  child=$!
  wait "$child"
  child=
}
# What fills the database is compressed already.
patiently pg_dump --format=custom --compress=1 --file="$part"
# Reads every byte of it: a list of contents alone would not notice a missing end.
pg_restore --list "$part" > /dev/null
patiently pg_restore --file=/dev/null "$part"
sync "$part"
mv -- "$part" "$name"
sync .

# The time is in the name, so the shell has sorted them from old to new.
set -- watchkeeper-*-"$database".dump
while [ $# -gt "$KEEP" ]; do
  # A clock that was put back must not cost the copy that was just made.
  if [ "$1" != "$name" ]; then
    rm -f -- "$1"
  fi
  shift
done
echo "$name is complete; $# are kept"
