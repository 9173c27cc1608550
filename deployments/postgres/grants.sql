-- What each service may do, by table; run as notsale_migrate after every
-- migration. Only notsale_migrate changes the schema, and nobody but it
-- deletes or rewrites what was decided.

\set ON_ERROR_STOP on
BEGIN;
-- Nobody has anything but what stands here, of what is there and of what later
-- migrations make, which give functions and types to everybody by themselves.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA public FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE notsale_migrate REVOKE ALL ON ROUTINES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE notsale_migrate REVOKE ALL ON TYPES FROM PUBLIC;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO
    notsale_edge, notsale_allocator, notsale_recorder, notsale_scheduler, notsale_archiver, notsale_auditor, notsale_operator;

-- The allocator holds leases, and commits decisions with their cursor.
GRANT INSERT, UPDATE, DELETE ON allocators, leases TO notsale_allocator;
GRANT INSERT, UPDATE ON cursors TO notsale_allocator;
GRANT INSERT ON decisions, items, commits, holes TO notsale_allocator;
GRANT UPDATE ON sales TO notsale_allocator;

-- The recorder adds attempts, and says how far it is; it deletes the marks of its
-- earlier versions.
GRANT INSERT ON checkout_attempts, attempt_holes TO notsale_recorder;
GRANT INSERT, UPDATE ON attempt_cursors TO notsale_recorder;
GRANT INSERT, UPDATE, DELETE ON recorded TO notsale_recorder;

-- The scheduler makes and opens sales, locking the installation's row.
GRANT INSERT, UPDATE ON sales TO notsale_scheduler;
GRANT INSERT ON cursors TO notsale_scheduler;
GRANT UPDATE ON installation TO notsale_scheduler;
-- It removes old streams of attempts of no sale.
GRANT UPDATE (removed_at) ON attempt_cursors TO notsale_scheduler;

-- Archivers and people archive sales, which takes the lease of a sale away for good; from an
-- archive they record the checkouts that a restored database has forgotten.
GRANT UPDATE (state) ON sales TO notsale_archiver, notsale_operator;
GRANT INSERT ON archives TO notsale_archiver, notsale_operator;
GRANT UPDATE (holder) ON cursors, leases TO notsale_archiver, notsale_operator;
GRANT UPDATE ON archiver_lease TO notsale_archiver, notsale_operator;
GRANT INSERT ON checkout_attempts TO notsale_archiver, notsale_operator;
GRANT INSERT, UPDATE ON attempt_cursors TO notsale_archiver, notsale_operator;

COMMIT;
