-- Keeps an allocator alive for $2 more and returns what it holds.
WITH alive AS (
    INSERT INTO allocators (name, expires_at) VALUES ($1, clock_timestamp() + $2::interval)
    ON CONFLICT (name) DO UPDATE SET expires_at = excluded.expires_at
)
SELECT sale_id, epoch FROM leases WHERE holder = $1
