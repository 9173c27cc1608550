-- Whether the sale with the number is the one with the UUID.
SELECT EXISTS (SELECT FROM sales WHERE sale_id = @sale AND sale_uuid = @uuid)
