-- At most @most sales with numbers below @below, newest first.
SELECT s.sale_id, s.sale_uuid, s.installation, s.opens_at, s.stock, s.user_limit, s.first_item, s.seed, s.rules,
       s.state, COALESCE(c.sold, 0) AS sold
FROM sales AS s
LEFT JOIN cursors AS c USING (sale_id)
WHERE s.sale_id < @below
ORDER BY s.sale_id DESC
LIMIT @most
