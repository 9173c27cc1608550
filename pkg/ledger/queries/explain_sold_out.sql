-- The last grant of the sale's items, @first to @last, if all are sold and none to
-- the code. It looks at the cursor first, so that it costs little in an open sale.
-- Times may decrease along the positions.
SELECT count(*), max(position) AS position, (array_agg(sold_at ORDER BY position DESC))[1] AS sold_at
FROM items
WHERE (SELECT sold = stock FROM cursors WHERE sale_id = @sale) AND item_id BETWEEN @first AND @last
HAVING count(*) > 0 AND NOT bool_or(code_id = @code)
