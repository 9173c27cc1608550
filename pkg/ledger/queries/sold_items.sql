-- Which of the items @first to @last have an owner.
SELECT item_id FROM items WHERE item_id BETWEEN @first AND @last ORDER BY item_id
