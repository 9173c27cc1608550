// Sells out the newest open sale, and fails if an answer, or the number of
// sales, is not what it must be:
//
//	go run . run sellout.js
//	go run . run -e BASE_URL=http://127.0.0.1:8081 -e VUS=64 -e P95_MS=500 sellout.js
//
// STOCK must be the stock of the sale: k6 wants the number of iterations
// before it can ask.

import exec from 'k6/execution';
import { check } from 'k6';

import { STOCK, VUS, LIMIT, MAX_TIME, buy, openSale, report, summaryTrendStats, thresholds, whole } from './shop.js';

export const options = {
  scenarios: {
    sellout: { executor: 'shared-iterations', vus: VUS, iterations: STOCK, maxDuration: MAX_TIME },
  },
  summaryTrendStats,
  thresholds: { ...thresholds, sold: [`count<=${STOCK}`] },
};

export function setup() {
  return { sale: openSale(STOCK), run: Date.now().toString(36) };
}

export default function ({ sale, run }) {
  const n = exec.scenario.iterationInTest;
  buy(sale.first_item + n, `k6-${run}-${Math.floor(n / LIMIT)}`); // every user buys exactly the limit
}

export function teardown({ sale }) {
  const now = whole(sale.id);
  check(now, {
    'sale: never more than the stock is sold': (s) => s.sold <= s.stock,
    'sale: the whole stock is sold': (s) => s.sold === s.stock && s.state === 'sold_out',
  });
}

export const handleSummary = report;
