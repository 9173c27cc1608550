-- Keeps an allocator alive for @ttl more and returns what it holds.
WITH alive AS (
    INSERT INTO allocators (name, expires_at) VALUES (@holder, clock_timestamp() + @ttl::interval)
    ON CONFLICT (name) DO UPDATE SET expires_at = excluded.expires_at
)
SELECT sale_id, epoch FROM leases WHERE holder = @holder
