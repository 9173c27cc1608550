-- Gives one lease back, so that another allocator may take it at once.
UPDATE leases SET holder = '' WHERE holder = @holder AND sale_id = @sale AND epoch = @epoch
