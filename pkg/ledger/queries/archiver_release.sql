-- Gives the archiver's lease back.
UPDATE archiver_lease SET holder = '', expires_at = '-infinity' WHERE holder = @holder
