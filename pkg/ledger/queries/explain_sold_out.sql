-- Where the last of the sale's items, @first to @last, went, if all are sold and
-- none to the code. The cursor is asked first, which costs nothing in an open sale.
-- Times may run back along the positions.
SELECT count(*), max(position) AS position, (array_agg(sold_at ORDER BY position DESC))[1] AS sold_at
FROM items
WHERE (SELECT sold = stock FROM cursors WHERE sale_id = @sale) AND item_id BETWEEN @first AND @last
HAVING count(*) > 0 AND NOT bool_or(code_id = @code)
