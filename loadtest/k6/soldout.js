// A sale that is sold out is asked for its items: every checkout is refused, 410, and
// each is recorded all the same. Run it when a sale is sold out, as after sellout.js:
//
//	go run . run soldout.js

import { check, fail } from 'k6';

import { MAX_TIME, VUS, begin, checkout, report, sales, saleNow, summaryTrendStats, thresholds } from './shop.js';

const ITERATIONS = Number(__ENV.ITERATIONS || 20000);

export const options = {
  scenarios: {
    soldout: { executor: 'shared-iterations', vus: VUS, iterations: ITERATIONS, maxDuration: MAX_TIME },
  },
  summaryTrendStats,
  thresholds: { ...thresholds, sold: ['count==0'] },
};

export function setup() {
  const sale = sales().find((s) => s.state === 'sold_out');
  if (!sale) {
    fail('no sale is sold out: run sellout.js before');
  }
  begin();
  return { sale, run: Date.now().toString(36) };
}

export default function ({ sale, run }) {
  const res = checkout(sale.first_item + Math.floor(Math.random() * sale.stock), `k6-${run}-${__VU}-${__ITER}`);
  check(res, { 'checkout: refused because the sale is sold out': (r) => !!r && r.status === 410 });
}

export function teardown({ sale }) {
  check(saleNow(sale.id), { 'sale: it stays sold out': (s) => s.sold === s.stock && s.state === 'sold_out' });
}

export const handleSummary = report;
