#!/bin/sh
# Makes the roles that are not there, each with the password that
# deployments/secrets.sh gave it, and a schema that only the migration's role may
# change. What each may do to which table is in grants.sql. Run as the server's
# own user, before every migration.
set -eu

psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 --username postgres --dbname notsale \
	--file "${ROLES_FILE:-/run/secrets/roles.sql}" --file - <<'SQL'
REVOKE ALL ON DATABASE notsale FROM PUBLIC;
GRANT CONNECT ON DATABASE notsale TO notsale_migrate, notsale_edge, notsale_allocator, notsale_recorder, notsale_scheduler, notsale_archiver, notsale_auditor, notsale_operator;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER SCHEMA public OWNER TO notsale_migrate;
GRANT USAGE ON SCHEMA public TO notsale_edge, notsale_allocator, notsale_recorder, notsale_scheduler, notsale_archiver, notsale_auditor, notsale_operator;
SQL
