-- Records that the streams of a sold-out sale take no more messages.
UPDATE sales SET state = 'archiving' WHERE sale_id = @sale AND state = 'sold_out'
