#!/usr/bin/env bash
# Runs roles.sql with passwords that lie in files: <SERVICE>_DATABASE_PASSWORD_FILE for each service, and
# PGPASSWORD_FILE for the superuser. Where to: libpq's own PGHOST, PGUSER, PGDATABASE. Safe to run again.
set -euo pipefail
for name in PGPASSWORD {ROUTING,INBOX_STATE,NOTIFICATION,REPORTING}_DATABASE_PASSWORD; do
  file="${name}_FILE"
  if [ -n "${!file:-}" ]; then
    export "$name"="$(cat "${!file}")"
  fi
  [ -n "${!name:-}" ] || { echo "$name is not set, nor ${name}_FILE" >&2; exit 2; }
done
exec psql --no-psqlrc --quiet --file "$(dirname "$0")/roles.sql"
