SELECT item_id, sale_id, user_id, code_id, position, sold_at
FROM items
WHERE sale_id = @sale OR item_id BETWEEN @first AND @last
ORDER BY item_id
