// Everybody comes at once: shoppers arrive at a given rate, however slowly they are
// answered, ten at a second before the opening and RATE from then on. Each wants one
// item, any of them, so that most lose when the stock is small:
//
//	go run . run -e RATE=1000 rush.js
//
// With OPENING=1 it waits for the next opening; else the newest open sale is taken.
// It fails if shoppers could not be sent in time (dropped_iterations), for then the
// figures are of the sender.

import { check, fail, sleep } from 'k6';

import { RATE, VUS, begin, buy, openSale, report, saleNow, sales, summaryTrendStats, thresholds } from './shop.js';

const SECONDS = Number(__ENV.SECONDS || 10);

export const options = {
  scenarios: {
    rush: {
      executor: 'ramping-arrival-rate', startRate: 10, timeUnit: '1s', preAllocatedVUs: VUS, maxVUs: 8 * VUS, gracefulStop: '30s',
      stages: [{ target: 10, duration: '2s' }, { target: RATE, duration: '0s' }, { target: RATE, duration: `${SECONDS}s` }],
    },
  },
  setupTimeout: __ENV.OPENING ? '70m' : '1m',
  summaryTrendStats,
  thresholds: { ...thresholds, dropped_iterations: ['count==0'] },
};

// opening waits for a sale that is not there yet.
function opening() {
  const newest = sales()[0];
  const last = newest ? newest.id : 0;
  for (const end = Date.now() + 65 * 60 * 1000; Date.now() < end; sleep(0.05)) {
    const now = sales()[0];
    if (now && now.id > last && now.state === 'open') {
      begin();
      return now;
    }
  }
  return fail('no sale has opened in 65 minutes');
}

export function setup() {
  return { sale: __ENV.OPENING ? opening() : openSale(), run: Date.now().toString(36) };
}

export default function ({ sale, run }) {
  buy(sale.first_item + Math.floor(Math.random() * sale.stock), `k6-${run}-${__VU}-${__ITER}`);
}

export function teardown({ sale }) {
  check(saleNow(sale.id), { 'sale: never more than the stock is sold': (s) => s.sold <= s.stock });
}

export const handleSummary = report;
