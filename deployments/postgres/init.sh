#!/bin/sh
# Runs once, when the database is made: the roles, each with the password
# that deployments/secrets.sh gave it, and a schema that only the migration's
# role may change. What each may do to which table is in grants.sql.
set -eu

psql --no-psqlrc -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
	--file "${ROLES_FILE:-/run/secrets/postgres_roles}" --file - <<'SQL'
REVOKE ALL ON DATABASE notsale FROM PUBLIC;
GRANT CONNECT ON DATABASE notsale TO notsale_migrate, notsale_edge, notsale_allocator, notsale_recorder, notsale_scheduler, notsale_archiver, notsale_auditor, notsale_operator;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER SCHEMA public OWNER TO notsale_migrate;
GRANT USAGE ON SCHEMA public TO notsale_edge, notsale_allocator, notsale_recorder, notsale_scheduler, notsale_archiver, notsale_auditor, notsale_operator;
SQL
