-- Makes the row of the current slot's sale, unless a sale is dated within the slot.
-- Sales dated later do not matter: a clock was wrong when they were made. The caller
-- holds the lock on the installation row, and has read @now from this database's
-- clock.
INSERT INTO sales (sale_id, sale_uuid, installation, opens_at, stock, user_limit, first_item, seed, rules)
SELECT COALESCE(last.sale_id, 0) + 1, gen_random_uuid(), installation.id, slot.opens_at,
       @stock, @user_limit, COALESCE(last.last_item, 0) + 1, @seed, @rules
FROM installation
CROSS JOIN (
    SELECT to_timestamp(floor(extract(epoch FROM @now::timestamptz) / @every::double precision) * @every::double precision) AS opens_at
) AS slot
LEFT JOIN LATERAL (
    SELECT sale_id, last_item FROM sales ORDER BY sale_id DESC LIMIT 1
) AS last ON true
WHERE NOT EXISTS (
    SELECT FROM sales WHERE opens_at >= slot.opens_at AND opens_at < slot.opens_at + make_interval(secs => @every::double precision)
)
