// Command notsale is the whole system in one program, one file per command.
//
//	notsale up          everything in one process tree, stores included
//	notsale edge        one role, against DATABASE_URL, REDIS_URL, NATS_URL
//	notsale allocator   …
//	notsale recorder    …
//	notsale scheduler   …
//	notsale archiver    … (without REDIS_URL, as recorder and scheduler)
//	notsale backends    only the three stores; prints their URLs
//	notsale migrate     brings the database's schema up to date
//	notsale audit       replays a sale's stream against the ledger
//	notsale health      asks an edge or an operations listener how it is
//
// It holds commands and wiring only: services are in services/*, adapters in pkg/*.
package main
