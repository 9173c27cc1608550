// A sale as it is: shoppers look around, check out, change their minds, buy, ask again
// whether they have bought, and try what they cannot have:
//
//	go run . run -e VUS=128 mixed.js

import { check, sleep } from 'k6';

import { RATE, VUS, buy, checkout, openSale, purchase, report, saleNow, sales, summaryTrendStats, thresholds } from './shop.js';

const SECONDS = Number(__ENV.SECONDS || 20);

export const options = {
  scenarios: {
    mixed: {
      executor: 'constant-arrival-rate', rate: RATE, timeUnit: '1s', duration: `${SECONDS}s`,
      preAllocatedVUs: VUS, maxVUs: 8 * VUS, gracefulStop: '30s',
    },
  },
  summaryTrendStats,
  thresholds: { ...thresholds, dropped_iterations: ['count==0'] },
};

export function setup() {
  return { sale: openSale(), run: Date.now().toString(36) };
}

export default function ({ sale, run }) {
  const user = `k6-${run}-${__VU}-${__ITER % 20}`; // some come to their limit
  const item = sale.first_item + Math.floor(Math.random() * sale.stock);
  const does = Math.random();
  if (does < 0.4) { // looks around
    sales();
    saleNow(sale.id);
  } else if (does < 0.6) { // checks out, and changes their mind
    checkout(item, user);
  } else if (does < 0.7) { // hesitates
    const res = checkout(item, user);
    sleep(0.5);
    if (res && res.status === 200) {
      purchase(res.json('code'), item);
    }
  } else { // buys, and asks once more: the answer stays
    const { code, granted } = buy(item, user);
    if (code && does > 0.9) {
      const again = purchase(code, item);
      check(again, { 'purchase: the same answer once more': (r) => !!r && (r.status === 200) === granted });
    }
  }
}

export function teardown({ sale }) {
  check(saleNow(sale.id), { 'sale: never more than the stock is sold': (s) => s.sold <= s.stock });
}

export const handleSummary = report;
