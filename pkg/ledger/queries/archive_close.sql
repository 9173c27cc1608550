-- Records that a sale's streams may be gone, and locks its row.
UPDATE sales SET state = 'archived' WHERE sale_id = @sale AND state = 'archiving'
