-- Where the last of sale $1's items, $2 to $3, went, if all are sold and none to
-- code $4. The cursor is asked first, which costs nothing in an open sale.
-- Times may run back along the positions.
SELECT count(*), max(position), (array_agg(sold_at ORDER BY position DESC))[1]
FROM items
WHERE (SELECT sold = stock FROM cursors WHERE sale_id = $1) AND item_id BETWEEN $2 AND $3
HAVING count(*) > 0 AND NOT bool_or(code_id = $4)
