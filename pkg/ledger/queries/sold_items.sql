-- Which of the items $1 to $2 have an owner.
SELECT item_id FROM items WHERE item_id BETWEEN $1 AND $2 ORDER BY item_id
