SELECT item_id, sale_id, user_id, code_id, position, sold_at
FROM items
WHERE sale_id = $1 OR item_id BETWEEN $2 AND $3
ORDER BY item_id
