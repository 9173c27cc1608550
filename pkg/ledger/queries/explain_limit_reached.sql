-- The user's last grant among the items @first to @last, if there are @limit or more
-- and none is to the code. Times may decrease along the positions.
SELECT count(*), max(position) AS position, (array_agg(sold_at ORDER BY position DESC))[1] AS sold_at
FROM items
WHERE item_id BETWEEN @first AND @last AND user_id = @user
HAVING count(*) >= @limit AND NOT bool_or(code_id = @code)
