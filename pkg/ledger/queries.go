package ledger

import _ "embed"

//nolint:gochecknoglobals // embedded statements, never written
var (
	//go:embed queries/commit.sql
	sqlCommit string
	//go:embed queries/open_slot.sql
	sqlOpenSlot string
	//go:embed queries/adopt_sale.sql
	sqlAdoptSale string
	//go:embed queries/sales.sql
	sqlSales string
	//go:embed queries/unsold_sales.sql
	sqlUnsoldSales string
	//go:embed queries/sale.sql
	sqlSale string
	//go:embed queries/sales_of.sql
	sqlSalesOf string
	//go:embed queries/mark_open.sql
	sqlMarkOpen string
	//go:embed queries/lease_take.sql
	sqlLeaseTake string
	//go:embed queries/lease_fence.sql
	sqlLeaseFence string
	//go:embed queries/lease_fence_free.sql
	sqlLeaseFenceFree string
	//go:embed queries/lease_terminate.sql
	sqlLeaseTerminate string
	//go:embed queries/lease_renew.sql
	sqlLeaseRenew string
	//go:embed queries/lease_release.sql
	sqlLeaseRelease string
	//go:embed queries/lease_retire.sql
	sqlLeaseRetire string
	//go:embed queries/cursor.sql
	sqlCursor string
	//go:embed queries/cursor_settle.sql
	sqlCursorSettle string
	//go:embed queries/confirm.sql
	sqlConfirm string
	//go:embed queries/open_positions.sql
	sqlOpenPositions string
	//go:embed queries/pack_at.sql
	sqlPackAt string
	//go:embed queries/open_generation.sql
	sqlOpenGeneration string
	//go:embed queries/decisions.sql
	sqlDecisions string
	//go:embed queries/decision_by_code.sql
	sqlDecisionByCode string
	//go:embed queries/sold_items.sql
	sqlSoldItems string
)
