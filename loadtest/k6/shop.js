// What the scripts beside this one share: how a shopper asks, what may be answered,
// what is counted, and the report. Settings are environment variables, see README.md.

import http from 'k6/http';
import { check, fail, sleep } from 'k6';
import { Counter, Trend } from 'k6/metrics';

const BASE = (__ENV.BASE_URL || 'http://127.0.0.1:8080').replace(/\/$/, '');
export const STOCK = Number(__ENV.STOCK || 10000);
export const VUS = Number(__ENV.VUS || 256);
export const RATE = Number(__ENV.RATE || 500); // shoppers who come in a second
export const LIMIT = Number(__ENV.LIMIT || 10); // items that one user may buy
export const MAX_TIME = __ENV.MAX_TIME || '5m';
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

// thresholds that every script has.
export const thresholds = {
  checks: ['rate==1'],
  http_req_failed: ['rate==0'],
  unresolved: ['count==0'],
  'http_req_duration{endpoint:checkout}': [`p(95)<${P95_MS}`],
  'http_req_duration{endpoint:purchase}': [`p(95)<${P95_MS}`],
};

export const summaryTrendStats = ['med', 'p(90)', 'p(95)', 'p(99)', 'max'];

// sales returns the newest sales.
export function sales() {
  return http.get(`${BASE}/sales`, { tags: { endpoint: 'sales', name: 'sales' } }).json();
}

// openSale returns the newest sale that sells; of this stock, if one is given.
export function openSale(stock) {
  const sale = sales().find((s) => s.state === 'open' && s.sold < s.stock);
  if (!sale) {
    fail(`${BASE} has no open sale`);
  }
  if (stock && sale.stock !== stock) {
    fail(`sale ${sale.id} has ${sale.stock} items: run with -e STOCK=${sale.stock}`);
  }
  begin();
  return sale;
}

// begin gives the thresholds something to look at.
export function begin() {
  unresolved.add(0);
  sold.add(0);
}

// saleNow reads a sale.
export function saleNow(id) {
  return http.get(`${BASE}/sales/${id}`, { tags: { endpoint: 'sale', name: 'sale' } }).json();
}

// whole reads a sale until it is sold out, for some seconds: the count may follow the
// last answer by a moment.
export function whole(id) {
  let now = saleNow(id);
  for (let i = 0; i < 20 && now.sold < now.stock; i++) {
    sleep(0.5);
    now = saleNow(id);
  }
  return now;
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

// checkout returns the final answer, or undefined.
export function checkout(item, user) {
  const res = post('checkout', `/checkout?user_id=${user}&id=${item}`, CHECKOUT);
  if (!res || res.status !== 200) {
    refused.add(1);
  }
  return res;
}

// purchase returns the final answer, or undefined.
export function purchase(code, item) {
  const res = post('purchase', `/purchase?code=${encodeURIComponent(code)}`, PURCHASE);
  if (!res || res.status !== 200) {
    refused.add(1);
    return res;
  }
  check(res.json(), {
    'purchase: sold the item asked for': (a) =>
      a.message === 'Purchase successful' && a.status === 'success' && a.item === item,
  });
  return res;
}

// buy checks out and purchases; it returns the code, if there is one, and whether the
// item was granted.
export function buy(item, user) {
  const start = Date.now();
  const issued = checkout(item, user);
  if (!issued || issued.status !== 200) {
    return { granted: false };
  }
  const code = issued.json('code');
  const res = purchase(code, item);
  journey.add(Date.now() - start);
  const granted = !!res && res.status === 200;
  if (granted) {
    sold.add(1);
  }
  return { code, granted };
}

// allChecks also finds those of teardown, which is a group of its own.
function allChecks(group) {
  return group.groups.reduce((found, g) => found.concat(allChecks(g)), group.checks);
}

// report is what a script says at its end.
export function report(data) {
  const value = (metric, stat) => (data.metrics[metric] ? data.metrics[metric].values[stat] : 0) || 0;
  const ms = (metric) =>
    ['med', 'p(95)', 'p(99)', 'max'].map((stat) => `${stat} ${value(metric, stat).toFixed(1)} ms`).join('  ');
  const lines = [
    '',
    `sold ${value('sold', 'count')}, refused ${value('refused', 'count')}, retries ${value('retried', 'count')}, unresolved ${value('unresolved', 'count')}`,
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
