-- The sale with this number, item or UUID; the others are null.
SELECT s.sale_id, s.sale_uuid, s.installation, s.opens_at, s.stock, s.user_limit, s.first_item, s.seed, s.rules,
       s.state, COALESCE(c.sold, 0) AS sold
FROM sales AS s
LEFT JOIN cursors AS c USING (sale_id)
WHERE CASE
    WHEN @sale::bigint IS NOT NULL THEN s.sale_id = @sale
    WHEN @item::bigint IS NOT NULL THEN s.first_item <= @item AND s.last_item >= @item
    ELSE s.sale_uuid = @uuid::uuid
END
