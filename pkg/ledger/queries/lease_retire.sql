-- Gives all leases of an allocator back.
DELETE FROM allocators WHERE name = @holder
