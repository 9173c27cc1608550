-- The grant of the item, unless to the code.
SELECT 1 AS count, position, sold_at
FROM items
WHERE item_id = @item AND code_id <> @code
