-- Ends the database sessions of a replaced allocator, whatever they wait for.
-- A namesake in another database of the server is another installation's.
SELECT count(pg_terminate_backend(pid))
FROM pg_stat_activity
WHERE datname = current_database() AND application_name = @name AND pid <> pg_backend_pid()
