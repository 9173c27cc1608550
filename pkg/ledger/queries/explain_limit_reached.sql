-- Where user $3 got the last of $4 or more of the items $1 to $2, unless code $5
-- got one of them. Engine time never runs back: the last is the latest.
SELECT count(*), max(position), max(sold_at)
FROM items
WHERE item_id BETWEEN $1 AND $2 AND user_id = $3
HAVING count(*) >= $4 AND NOT bool_or(code_id = $5)
