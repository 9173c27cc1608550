-- Where user $3 got the last of $4 or more of the items $1 to $2, unless code $5
-- got one of them. Times may run back along the positions.
SELECT count(*), max(position), (array_agg(sold_at ORDER BY position DESC))[1]
FROM items
WHERE item_id BETWEEN $1 AND $2 AND user_id = $3
HAVING count(*) >= $4 AND NOT bool_or(code_id = $5)
