-- The sale with this number ($1), item ($2) or UUID ($3); the others null.
SELECT s.sale_id, s.sale_uuid, s.installation, s.opens_at, s.stock, s.user_limit, s.first_item, s.seed, s.rules,
       s.state, COALESCE(c.sold, 0) AS sold
FROM sales AS s
LEFT JOIN cursors AS c USING (sale_id)
WHERE CASE
    WHEN $1::bigint IS NOT NULL THEN s.sale_id = $1
    WHEN $2::bigint IS NOT NULL THEN s.first_item <= $2 AND s.last_item >= $2
    ELSE s.sale_uuid = $3::uuid
END
