-- Writes a word into the log, which tables know nothing of, where commits wait
-- for a standby: then so does this, for all that was written before.
SELECT pg_logical_emit_message(true, 'notsale', 'confirm')
WHERE current_setting('synchronous_standby_names') <> '' AND NOT pg_is_in_recovery()
