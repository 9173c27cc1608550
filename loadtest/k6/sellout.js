// Sells out the newest open sale, and fails if an answer, or the number of
// sales, is not what it must be:
//
//	go run . run sellout.js
//	go run . run -e BASE_URL=http://127.0.0.1:8081 -e VUS=64 -e P95_MS=500 sellout.js
//
// STOCK must be the stock of the sale: k6 wants the number of iterations
// before it can ask. SUMMARY_JSON=FILE also writes all metrics there.

import http from 'k6/http';
import exec from 'k6/execution';
import { check, fail, sleep } from 'k6';
import { Counter, Trend } from 'k6/metrics';

const BASE = (__ENV.BASE_URL || 'http://127.0.0.1:8080').replace(/\/$/, '');
const STOCK = Number(__ENV.STOCK || 10000);
const VUS = Number(__ENV.VUS || 256);
const LIMIT = Number(__ENV.LIMIT || 10); // items that one user may buy
const P95_MS = Number(__ENV.P95_MS || 2000);
const MAX_TRIES = 30; // of one request
const MAX_WAIT_S = 5; // honoured of a Retry-After

const sold = new Counter('sold');
const refused = new Counter('refused');
const retried = new Counter('retried');
const unresolved = new Counter('unresolved'); // no final answer in MAX_TRIES
const journey = new Trend('journey', true); // checkout to final answer

// What may be answered. Only what is neither allowed nor an answer counts as failed.
const CHECKOUT = [200, 409, 410, 429, 503];
const PURCHASE = [200, 202, 409, 410, 429, 503];
http.setResponseCallback(http.expectedStatuses(200, 202, 409, 410, 429, 503));

export const options = {
  scenarios: {
    sellout: { executor: 'shared-iterations', vus: VUS, iterations: STOCK, maxDuration: __ENV.MAX_TIME || '5m' },
  },
  summaryTrendStats: ['med', 'p(90)', 'p(95)', 'p(99)', 'max'],
  thresholds: {
    checks: ['rate==1'],
    http_req_failed: ['rate==0'],
    sold: [`count<=${STOCK}`],
    unresolved: ['count==0'],
    'http_req_duration{endpoint:checkout}': [`p(95)<${P95_MS}`],
    'http_req_duration{endpoint:purchase}': [`p(95)<${P95_MS}`],
  },
};

export function setup() {
  const sale = http.get(`${BASE}/sales`).json().find((s) => s.state === 'open' && s.sold < s.stock);
  if (!sale) {
    fail(`${BASE} has no open sale`);
  }
  if (sale.stock !== STOCK) {
    fail(`sale ${sale.id} has ${sale.stock} items: run with -e STOCK=${sale.stock}`);
  }
  unresolved.add(0); // so that the thresholds have something to look at
  sold.add(0);
  return { sale, run: Date.now().toString(36) };
}

// post sends until the answer is final; undefined if none came.
function post(endpoint, path, allowed) {
  const params = { tags: { endpoint, name: endpoint } };
  for (let i = 0; i < MAX_TRIES; i++) {
    const res = http.post(`${BASE}${path}`, null, params);
    check(res, { [`${endpoint}: an allowed answer`]: (r) => allowed.includes(r.status) }, { endpoint });
    const after = Number(res.headers['Retry-After'] || 0);
    const later = [0, 202, 503].includes(res.status) || (res.status === 429 && after > 0);
    if (!later) {
      return res;
    }
    retried.add(1);
    sleep(Math.min(after || 0.05 * (i + 1), MAX_WAIT_S));
  }
  unresolved.add(1);
  return undefined;
}

export default function ({ sale, run }) {
  const n = exec.scenario.iterationInTest;
  const item = sale.first_item + n;
  const user = `k6-${run}-${Math.floor(n / LIMIT)}`; // every user buys exactly the limit
  const start = Date.now();

  const checkout = post('checkout', `/checkout?user_id=${user}&id=${item}`, CHECKOUT);
  if (!checkout || checkout.status !== 200) {
    refused.add(1);
    return;
  }
  const code = encodeURIComponent(checkout.json('code'));
  const purchase = post('purchase', `/purchase?code=${code}`, PURCHASE);
  journey.add(Date.now() - start);
  if (!purchase || purchase.status !== 200) {
    refused.add(1);
    return;
  }
  sold.add(1);
  check(purchase.json(), {
    'purchase: sold the item asked for': (a) =>
      a.message === 'Purchase successful' && a.status === 'success' && a.item === item,
  });
}

export function teardown({ sale }) {
  let now = sale;
  for (let i = 0; i < 20; i++) { // the count may follow the last answer by a moment
    now = http.get(`${BASE}/sales/${sale.id}`).json();
    if (now.sold >= now.stock) {
      break;
    }
    sleep(0.5);
  }
  check(now, {
    'sale: never more than the stock is sold': (s) => s.sold <= s.stock,
    'sale: the whole stock is sold': (s) => s.sold === s.stock && s.state === 'sold_out',
  });
}

// allChecks also finds those of teardown, which is a group of its own.
function allChecks(group) {
  return group.groups.reduce((found, g) => found.concat(allChecks(g)), group.checks);
}

export function handleSummary(data) {
  const value = (metric, stat) => (data.metrics[metric] ? data.metrics[metric].values[stat] : 0) || 0;
  const ms = (metric) =>
    ['med', 'p(95)', 'p(99)', 'max'].map((stat) => `${stat} ${value(metric, stat).toFixed(1)} ms`).join('  ');
  const lines = [
    '',
    `sold ${value('sold', 'count')} of ${STOCK}, refused ${value('refused', 'count')}, retries ${value('retried', 'count')}, unresolved ${value('unresolved', 'count')}`,
    `requests ${value('http_reqs', 'count')}, ${value('http_reqs', 'rate').toFixed(0)}/s`,
    `checkout  ${ms('http_req_duration{endpoint:checkout}')}`,
    `purchase  ${ms('http_req_duration{endpoint:purchase}')}`,
    `journey   ${ms('journey')}`,
  ];
  for (const c of allChecks(data.root_group)) {
    lines.push(`${c.fails === 0 ? 'ok    ' : 'FAILED'}  ${c.name} (${c.passes} of ${c.passes + c.fails})`);
  }
  for (const [name, metric] of Object.entries(data.metrics)) {
    for (const [threshold, result] of Object.entries(metric.thresholds || {})) {
      lines.push(`${result.ok ? 'ok    ' : 'FAILED'}  ${name}: ${threshold}`);
    }
  }
  const out = { stdout: lines.join('\n') + '\n\n' };
  if (__ENV.SUMMARY_JSON) {
    out[__ENV.SUMMARY_JSON] = JSON.stringify(data, null, 2);
  }
  return out;
}
