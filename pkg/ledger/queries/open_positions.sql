-- How far each open sale is decided whose last message came within @age before now.
SELECT sale_id, c.position
FROM sales AS s
JOIN cursors AS c USING (sale_id)
WHERE s.state = 'open' AND c.engine_time > clock_timestamp() - @age::interval
