-- Where commits wait for a synchronous standby, writes a message into the write-ahead
-- log, which changes no table: the statement then waits until the standby has all
-- that was written before.
SELECT pg_logical_emit_message(true, 'notsale', 'confirm')
WHERE current_setting('synchronous_standby_names') <> '' AND NOT pg_is_in_recovery()
