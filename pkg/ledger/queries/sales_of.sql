-- The sales with the UUIDs @uuids, and those that have the items @items.
SELECT s.sale_id, s.sale_uuid, s.installation, s.opens_at, s.stock, s.user_limit, s.first_item, s.seed, s.rules,
       s.state, COALESCE(c.sold, 0) AS sold
FROM sales AS s
LEFT JOIN cursors AS c USING (sale_id)
WHERE s.sale_id IN (
    SELECT sale_id FROM sales WHERE sale_uuid = ANY (@uuids::uuid[])
    UNION
    SELECT found.sale_id
    FROM unnest(@items::bigint[]) AS q (item_id)
    CROSS JOIN LATERAL (
        SELECT sale_id, last_item FROM sales WHERE first_item <= q.item_id ORDER BY first_item DESC LIMIT 1
    ) AS found
    WHERE found.last_item >= q.item_id
)
