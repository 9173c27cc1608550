-- Where the user got the last of @limit or more of the items @first to @last,
-- unless the code got one of them. Times may run back along the positions.
SELECT count(*), max(position) AS position, (array_agg(sold_at ORDER BY position DESC))[1] AS sold_at
FROM items
WHERE item_id BETWEEN @first AND @last AND user_id = @user
HAVING count(*) >= @limit AND NOT bool_or(code_id = @code)
