-- Gives one lease back, so that another allocator may take it at once.
UPDATE leases SET holder = '' WHERE holder = $1 AND sale_id = $2 AND epoch = $3
