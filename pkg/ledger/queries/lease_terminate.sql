-- Ends the database sessions of a replaced allocator, whatever they wait for.
-- Sessions of that name in another database belong to another installation.
SELECT count(pg_terminate_backend(pid))
FROM pg_stat_activity
WHERE datname = current_database() AND application_name = @name AND pid <> pg_backend_pid()
