-- Where item $1 went, unless to code $2.
SELECT 1, position, sold_at
FROM items
WHERE item_id = $1 AND code_id <> $2
