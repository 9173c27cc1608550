SELECT id FROM installation FOR UPDATE
