SELECT clock_timestamp() AS now, (SELECT COALESCE(max(sale_id), 0) FROM sales) AS newest
