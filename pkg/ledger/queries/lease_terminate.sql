-- Ends the database sessions of replaced allocators, whatever they wait for.
SELECT count(pg_terminate_backend(pid))
FROM pg_stat_activity
WHERE application_name = ANY ($1::text[]) AND pid <> pg_backend_pid()
