-- Makes the row of the sale of the current slot, unless it or a later one
-- exists. The caller holds the lock on the installation row.
INSERT INTO sales (sale_id, sale_uuid, installation, opens_at, stock, user_limit, first_item, seed, rules)
SELECT COALESCE(last.sale_id, 0) + 1, gen_random_uuid(), installation.id, slot.opens_at,
       $2, $3, COALESCE(last.last_item, 0) + 1, $4, $5
FROM installation
CROSS JOIN (
    SELECT to_timestamp(floor(extract(epoch FROM clock_timestamp()) / $1::double precision) * $1::double precision) AS opens_at
) AS slot
LEFT JOIN LATERAL (
    SELECT sale_id, last_item, opens_at FROM sales ORDER BY sale_id DESC LIMIT 1
) AS last ON true
WHERE last.sale_id IS NULL OR slot.opens_at > last.opens_at
