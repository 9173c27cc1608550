// The shop page. It reads the sale from the API, shows it, and buys.
//
// A purchase has one code. Whatever goes wrong on the way, the page asks again
// with the same code, so an item is bought at most once per click; the code is
// kept in localStorage until its outcome is known, so a reload goes on.

// Limits. Each bounds how long or how often the page asks.
const PAGE_SIZE = 60; // items a page: some screens full, one request
const POLL_MS = 3000; // how often the sales are read while the page is seen
const POLL_MAX_MS = 30000; // ... at most this slowly while reads fail
const ITEMS_EVERY = 2; // the items on screen are read every so many polls
const ANSWER_MS = 30000; // how long an unanswered step is asked again
const REQUEST_MS = 12000; // how long one request may take
const WAIT_MIN_MS = 300; // shortest wait before asking again
const WAIT_MAX_MS = 8000; // longest where the answer names none; Retry-After is kept to
const RESULTS_MAX = 3; // decided results shown at a time
const RESULT_MS = 15000; // how long one stays; the card and My items keep it
const CODE_DAYS = 7; // codes older than this are forgotten: long expired

const USER = /^[!#-[\]-~]{1,128}$/;
const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat();
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// ---------------------------------------------------------------- storage

// store is localStorage, or memory where the browser refuses it. Each code and
// each bought item has a key of its own, so tabs do not overwrite each other.
const store = (() => {
  const memory = new Map();
  let disk = null;
  try {
    disk = window.localStorage;
    disk.setItem('notsale:probe', '1');
    disk.removeItem('notsale:probe');
  } catch {
    disk = null;
  }
  return {
    get(key) {
      const text = disk ? disk.getItem(`notsale:${key}`) : memory.get(key);
      if (text === null || text === undefined) return null;
      try {
        return JSON.parse(text);
      } catch {
        return null;
      }
    },
    set(key, value) {
      const text = JSON.stringify(value);
      if (!disk) {
        memory.set(key, text);
        return;
      }
      try {
        disk.setItem(`notsale:${key}`, text);
      } catch {
        // Full. The purchase goes on; only a reload would not know of it.
      }
    },
    remove(key) {
      if (disk) disk.removeItem(`notsale:${key}`);
      else memory.delete(key);
    },
    all(prefix) {
      const keys = disk
        ? Object.keys(disk).filter((k) => k.startsWith('notsale:')).map((k) => k.slice('notsale:'.length))
        : [...memory.keys()];
      return keys.filter((k) => k.startsWith(prefix)).map((k) => this.get(k)).filter((v) => v !== null);
    },
  };
})();

// ------------------------------------------------------------------- user

function randomUser() {
  const letters = 'abcdefghjkmnpqrstuvwxyz23456789';
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  return `guest-${Array.from(bytes, (b) => letters[b % letters.length]).join('')}`;
}

// currentUser returns the user id in the field, or null if it is not one.
function currentUser() {
  const value = $('user').value;
  return USER.test(value) ? value : null;
}

function userChanged() {
  const user = currentUser();
  $('user').setAttribute('aria-invalid', String(user === null));
  $('user-error').hidden = user !== null;
  if (user === null) return;
  store.set('user', user);
  showMine();
  refreshCards();
}

// -------------------------------------------------------------------- API

// call makes one request and returns what came back. status 0 means that no
// answer came: the request may or may not have been carried out.
async function call(method, url) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), REQUEST_MS);
  try {
    const response = await fetch(url, {
      method, cache: method === 'GET' ? 'no-cache' : 'no-store', signal: abort.signal, headers: { Accept: 'application/json' },
    });
    const body = await response.json().catch(() => ({}));
    return { status: response.status, body, retryAfter: retryAfter(response) };
  } catch {
    return { status: 0, body: {}, retryAfter: null };
  } finally {
    clearTimeout(timer);
  }
}

// retryAfter returns the header in milliseconds, or null if it is absent.
function retryAfter(response) {
  const header = response.headers.get('Retry-After');
  if (header === null) return null;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return seconds * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : date - Date.now();
}

// undecided tells whether an answer leaves the question open: pending, pushed
// back, failed on the way, or limited in rate. The limit on items comes as 429
// too, but without Retry-After: that one is final.
function undecided({ status, retryAfter: after }) {
  return status === 0 || status === 202 || status >= 500 || status === 408 || (status === 429 && after !== null);
}

// ask posts until the answer is decided or the time is up, and returns the
// last answer. It is the same question every time.
async function ask(url, waiting) {
  const deadline = Date.now() + ANSWER_MS;
  for (let attempt = 0; ; attempt++) {
    const answer = await call('POST', url);
    if (!undecided(answer)) return answer;
    const backoff = Math.min(WAIT_MIN_MS * 2 ** attempt, WAIT_MAX_MS);
    const wait = Math.max(answer.retryAfter ?? backoff, WAIT_MIN_MS) * (1 + Math.random() / 4);
    if (Date.now() + wait > deadline) return answer;
    waiting(answer);
    await sleep(wait);
  }
}

// -------------------------------------------------------------------- buy

// busy holds the items with a purchase under way in this tab, by user.
const busy = new Set();
const keyOf = (user, item) => `${user}/${item}`;

// buy checks the item out and purchases it. If a code for it is still open, it
// goes on with that one: a second code could only lose against the first.
async function buy(item) {
  const user = currentUser();
  if (user === null) {
    userChanged();
    $('user').focus();
    return;
  }
  const key = keyOf(user, item.id);
  if (busy.has(key)) return;
  const result = showResult(item);
  const left = store.all('code:').find((p) => p.user === user && p.item === item.id);
  if (left) {
    await resume(left, result);
    return;
  }
  busy.add(key);
  refreshCards();
  result.set('busy', item.name, 'Checking out…');
  try {
    const query = new URLSearchParams({ user_id: user, id: item.id });
    const answer = await ask(`/checkout?${query}`, () => result.set('busy', item.name, 'Busy. Asking again…'));
    if (answer.status !== 200 || !answer.body.code) {
      refused(item, answer, result, () => {
        result.drop();
        buy(item);
      });
      return;
    }
    const purchase = {
      code: answer.body.code, user, item: item.id, name: item.name, image: item.image,
      sale: answer.body.sale, since: Date.now(),
    };
    store.set(`code:${purchase.code}`, purchase);
    await settle(purchase, result);
  } finally {
    busy.delete(key);
    refreshCards();
  }
}

// settle asks for the outcome of a code until it is known or the time is up.
async function settle(purchase, result) {
  const item = { id: purchase.item, name: purchase.name, image: purchase.image };
  result.set('busy', item.name, 'Buying…');
  const answer = await ask(`/purchase?${new URLSearchParams({ code: purchase.code })}`, ({ status }) => {
    result.set('busy', item.name, status === 202 ? 'In the queue. Waiting for the outcome…' : 'Busy. Asking again with the same code…');
  });
  if (undecided(answer)) {
    result.set('open', `${item.name}: not decided yet`,
      'No answer came in time. The code is kept: ask again now, or reload later.', () => resume(purchase, result));
    return;
  }
  store.remove(`code:${purchase.code}`);
  if (answer.status === 200) {
    bought(purchase, answer.body, result);
    return;
  }
  refused(item, answer, result, null);
}

// resume takes up a code that was left open.
async function resume(purchase, result) {
  const key = keyOf(purchase.user, purchase.item);
  if (busy.has(key)) return;
  busy.add(key);
  refreshCards();
  try {
    await settle(purchase, result);
  } finally {
    busy.delete(key);
    refreshCards();
  }
}

function bought(purchase, body, result) {
  const item = {
    item: purchase.item, user: purchase.user, name: purchase.name, image: purchase.image,
    sale: body.sale ?? purchase.sale, position: body.position, time: body.time,
  };
  store.set(`mine:${keyOf(item.user, item.item)}`, item);
  markSold(item.item);
  showMine();
  const place = item.position ? ` Position ${number.format(item.position)} in the queue of sale ${item.sale}.` : '';
  result.set('won', `${item.name} is yours`, `Purchase successful.${place}`);
}

// refused shows why an item was not bought. again, if given, is offered where
// nothing was decided.
function refused(item, { status, body, retryAfter: after }, result, again) {
  const type = String(body.type ?? '');
  const detail = String(body.detail ?? body.title ?? body.message ?? '');
  if (undecided({ status, retryAfter: after })) {
    result.set('open', `${item.name}: not bought`, 'The shop could not be reached or is too busy. Nothing was bought.', again);
  } else if (status === 409) {
    markSold(item.id);
    result.set('lost', `${item.name} has been sold`, detail);
  } else if (status === 410 && type.includes('expired')) {
    result.set('lost', `${item.name}: the code has expired`, detail || 'Nothing was bought. You may try again.');
  } else if (status === 410) {
    result.set('lost', 'This sale is sold out', detail);
    poll();
  } else if (status === 429) {
    result.set('lost', 'Limit reached', detail || 'User has reached the maximum of items per sale.');
  } else {
    result.set('lost', `${item.name}: not bought`, detail || `The shop answered ${status}.`);
  }
}

// ---------------------------------------------------------------- results

// showResult adds an entry to the results, in place of an earlier one for the
// same item. Its set tells what came of it.
function showResult(item) {
  const id = String(item.item ?? item.id);
  for (const old of [...$('results').children]) {
    if (old.dataset.item === id && old.dataset.state !== 'busy') old.remove();
  }
  const node = $('result-template').content.firstElementChild.cloneNode(true);
  node.dataset.item = id;
  node.querySelector('img').src = item.image;
  const again = node.querySelector('.again');
  let onAgain = null;
  again.addEventListener('click', () => {
    const action = onAgain;
    again.hidden = true;
    if (action) action();
  });
  node.querySelector('.close').addEventListener('click', () => node.remove());
  $('results').append(node);
  return {
    set(state, title, text, action = null) {
      node.dataset.state = state;
      node.querySelector('.result-title').textContent = title;
      node.querySelector('.result-text').textContent = text;
      onAgain = action;
      again.hidden = action === null;
      if (!node.isConnected && state !== 'busy') $('results').append(node); // dismissed while under way
      if (state === 'won' || state === 'lost') decide(node);
    },
    drop: () => node.remove(),
  };
}

// fade removes a decided result after a while, unless it is being read.
function fade(node) {
  setTimeout(() => {
    if (node.matches(':hover, :focus-within')) fade(node);
    else node.remove();
  }, RESULT_MS);
}

// decided holds the decided results on show, the latest decision last.
const decided = [];

// decide keeps the latest decided results and lets the oldest go. What is under
// way or open stays.
function decide(node) {
  decided.push(node);
  if (decided.length > RESULTS_MAX) decided.shift().remove();
  fade(node);
}

// --------------------------------------------------------------- my items

function showMine() {
  const user = currentUser();
  const mine = user === null ? [] : store.all('mine:').filter((item) => item.user === user);
  mine.sort((a, b) => String(b.time ?? '').localeCompare(String(a.time ?? '')) || b.item - a.item);
  $('mine').hidden = mine.length === 0;
  $('mine-count').textContent = number.format(mine.length);
  $('mine-list').replaceChildren(...mine.map((item) => {
    const node = $('mine-template').content.firstElementChild.cloneNode(true);
    node.querySelector('img').src = item.image;
    node.querySelector('.mine-name').textContent = item.name;
    node.querySelector('.mine-where').textContent =
      `Sale ${item.sale}${item.position ? ` · position ${number.format(item.position)}` : ''}`;
    return node;
  }));
}

// ------------------------------------------------------------------ sales

const view = { sales: [], sale: null, page: 1, total: 0, items: [], load: 0, newest: 0 };

// address reads sale and page from the URL: #/sale/3/page/2.
function address() {
  const match = /^#\/sale\/(\d{1,15})(?:\/page\/(\d{1,7}))?$/.exec(location.hash);
  return match ? { sale: Number(match[1]), page: Math.max(1, Number(match[2] ?? 1)) } : null;
}

function visit(sale, page) {
  const hash = `#/sale/${sale}/page/${page}`;
  if (location.hash === hash) follow();
  else location.hash = hash;
}

const pages = () => Math.max(1, Math.ceil((view.sale?.stock ?? 0) / PAGE_SIZE));

// follow shows what the URL asks for, or the newest sale.
async function follow() {
  const want = address();
  const id = want?.sale ?? view.sales[0]?.id;
  if (id === undefined) return;
  let sale = view.sales.find((s) => s.id === id);
  if (!sale) {
    const answer = await call('GET', `/sales/${id}`);
    if (address()?.sale !== want?.sale) return; // overtaken by a later one
    if (answer.status !== 200) {
      notice(answer.status === 404 ? `There is no sale ${id}.` : 'The sale could not be read. Trying again…');
      if (answer.status === 404 && view.sales.length) visit(view.sales[0].id, 1);
      return;
    }
    sale = answer.body;
  }
  const changed = view.sale?.id !== sale.id;
  view.sale = sale;
  view.page = Math.min(want?.page ?? 1, pages());
  showSale();
  if (changed) icon(sale);
  if (sale.id === view.newest) $('fresh').hidden = true;
  await loadItems(true);
}

function icon(sale) {
  document.querySelector('link[rel=icon]').href = `/items/${sale.first_item}/image`;
}

function showSale() {
  const sale = view.sale;
  const soldOut = sale.state === 'sold_out' || sale.sold >= sale.stock;
  const opened = new Date(sale.opens_at);
  $('sale-title').textContent = `Flash sale No. ${sale.id}`;
  $('sale-opened').textContent = `Opened at ${clock.format(opened)}${ago(opened)}`;
  $('sale-state').textContent = soldOut ? 'Sold out' : 'Open';
  $('sale-state').dataset.state = soldOut ? 'sold_out' : 'open';
  $('sale-progress').max = sale.stock;
  $('sale-progress').value = sale.sold;
  $('sale-sold').textContent = number.format(sale.sold);
  $('sale-stock').textContent = number.format(sale.stock);
  $('sale-left').textContent = number.format(Math.max(0, sale.stock - sale.sold));
  document.title = `${number.format(Math.max(0, sale.stock - sale.sold))} left · notsale`;
  showChoice();
  showPagers();
}

function ago(opened) {
  const minutes = Math.floor((Date.now() - opened.getTime()) / 60000);
  if (minutes < 0 || minutes > 48 * 60) return '';
  if (minutes < 1) return ' (just now)';
  if (minutes < 120) return ` (${minutes} min ago)`;
  return ` (${Math.floor(minutes / 60)} hours ago)`;
}

// showChoice offers the sales that are still open, and the one on show.
function showChoice() {
  const choice = view.sales.filter((s) => s.state === 'open' || s.id === view.sale.id);
  if (!choice.some((s) => s.id === view.sale.id)) choice.push(view.sale);
  $('switch').hidden = choice.length < 2;
  const select = $('sale-select');
  if (document.activeElement === select) return; // never change a list that is being read
  select.replaceChildren(...choice.map((s) => {
    const left = Math.max(0, s.stock - s.sold);
    const option = new Option(`No. ${s.id}: ${left ? `${number.format(left)} left` : 'sold out'}`, String(s.id));
    option.selected = s.id === view.sale.id;
    return option;
  }));
}

function notice(text) {
  $('notice').textContent = text;
  $('notice').hidden = text === '';
}

// ------------------------------------------------------------------ items

// loadItems reads the page of items on show. fresh draws it anew; otherwise
// only what changed is brought up to date.
async function loadItems(fresh) {
  const load = ++view.load;
  const { sale, page } = view;
  if (fresh) $('grid').setAttribute('aria-busy', 'true');
  const query = new URLSearchParams({ offset: (page - 1) * PAGE_SIZE, limit: PAGE_SIZE });
  const answer = await call('GET', `/sales/${sale.id}/items?${query}`);
  if (load !== view.load) return true; // overtaken by a later one
  if (answer.status !== 200) {
    view.stale = true;
    return false;
  }
  const same = view.items.length === answer.body.items.length && view.items[0]?.id === answer.body.items[0]?.id;
  view.stale = false;
  view.items = answer.body.items;
  if (same) refreshCards();
  else drawCards();
  $('grid').setAttribute('aria-busy', 'false');
  return true;
}

function drawCards() {
  $('grid').replaceChildren(...view.items.map((item) => {
    const node = $('card-template').content.firstElementChild.cloneNode(true);
    node.dataset.item = item.id;
    node.querySelector('img').src = item.image;
    node.querySelector('h3').textContent = item.name;
    node.querySelector('.number').textContent = `Item ${item.id}`;
    const button = node.querySelector('button');
    button.addEventListener('click', () => {
      if (button.getAttribute('aria-disabled') !== 'true') buy(item);
    });
    return node;
  }));
  refreshCards();
}

// refreshCards brings the cards' badges and buttons up to date.
function refreshCards() {
  const user = currentUser();
  const soldOut = view.sale?.state === 'sold_out';
  const byID = new Map(view.items.map((item) => [String(item.id), item]));
  for (const node of $('grid').children) {
    const item = byID.get(node.dataset.item);
    if (!item) continue;
    const mine = user !== null && store.get(`mine:${keyOf(user, item.id)}`) !== null;
    const buying = user !== null && busy.has(keyOf(user, item.id));
    const sold = item.sold || soldOut;
    const button = node.querySelector('button');
    const badge = node.querySelector('.sold-badge');
    node.dataset.state = mine ? 'mine' : sold ? 'sold' : 'open';
    badge.hidden = !(sold || mine);
    badge.textContent = mine ? 'Yours' : 'Sold';
    button.textContent = mine ? 'Yours' : buying ? 'Buying…' : sold ? 'Sold' : 'Buy';
    button.setAttribute('aria-label', `${button.textContent}: ${item.name}`);
    // A button that has the focus keeps it: aria-disabled, not disabled.
    button.setAttribute('aria-disabled', String(mine || buying || sold));
    button.setAttribute('aria-busy', String(buying));
  }
}

function markSold(id) {
  const item = view.items.find((i) => i.id === id);
  if (item) item.sold = true;
  refreshCards();
}

// ------------------------------------------------------------------ pages

function showPagers() {
  for (const nav of document.querySelectorAll('[data-pager]')) {
    const input = nav.querySelector('input');
    const last = pages();
    nav.querySelector('[data-pages]').textContent = number.format(last);
    input.max = last;
    if (document.activeElement !== input) input.value = view.page;
    for (const button of nav.querySelectorAll('button')) {
      const back = button.dataset.go === 'first' || button.dataset.go === 'previous';
      const on = button.dataset.go === 'next' || button.dataset.go === 'last';
      button.setAttribute('aria-disabled', String((back && view.page <= 1) || (on && view.page >= last) || last === 1));
    }
  }
}

function turn(nav, page) {
  if (!view.sale || !Number.isInteger(page)) return;
  const target = Math.min(Math.max(page, 1), pages());
  if (target === view.page) return;
  visit(view.sale.id, target);
  if (nav.classList.contains('foot')) $('items-heading').focus();
}

function buildPagers() {
  for (const nav of document.querySelectorAll('[data-pager]')) {
    nav.append($('pager-template').content.cloneNode(true));
    const go = {
      first: () => 1,
      previous: () => view.page - 1,
      next: () => view.page + 1,
      last: pages,
      random: () => 1 + Math.floor(Math.random() * pages()),
    };
    for (const button of nav.querySelectorAll('button')) {
      button.addEventListener('click', () => turn(nav, go[button.dataset.go]()));
    }
    const form = nav.querySelector('form');
    const enter = () => turn(nav, form.querySelector('input').valueAsNumber);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      enter();
    });
    form.querySelector('input').addEventListener('change', enter);
  }
}

// ------------------------------------------------------------------- poll

let pollTimer = 0;
let pollCount = 0;
let pollFailures = 0;

// poll reads the sales and, now and then, the items on show; then it plans the
// next poll. While the page is hidden it rests.
async function poll() {
  clearTimeout(pollTimer);
  const turnNumber = ++pollCount;
  const ok = document.hidden || await readSales();
  if (turnNumber !== pollCount) return; // another poll began meanwhile
  pollFailures = ok ? 0 : pollFailures + 1;
  if (ok && !document.hidden && view.sale && (turnNumber % ITEMS_EVERY === 0 || view.stale)) await loadItems(false);
  if (turnNumber !== pollCount) return;
  const wait = Math.min(POLL_MS * 2 ** Math.min(pollFailures, 5), POLL_MAX_MS);
  pollTimer = setTimeout(poll, wait * (0.9 + Math.random() / 5));
}

async function readSales() {
  const answer = await call('GET', '/sales');
  if (answer.status !== 200 || !Array.isArray(answer.body)) {
    notice('The shop does not answer. What you see may be old; trying again…');
    return false;
  }
  view.sales = answer.body;
  if (view.sales.length === 0) {
    notice('No sale is open yet. This page will show the first one as it opens.');
    $('sale-state').textContent = 'Waiting';
    return true;
  }
  notice('');
  announceNewest();
  if (!view.sale) {
    await follow();
    return true;
  }
  const current = view.sales.find((s) => s.id === view.sale.id);
  if (current) view.sale = current;
  showSale();
  refreshCards();
  return true;
}

// announceNewest says so when a newer sale than the one on show has opened.
function announceNewest() {
  const newest = view.sales[0].id;
  if (view.newest !== 0 && newest > view.newest) {
    $('fresh-text').textContent = `Flash sale No. ${newest} has just opened.`;
    $('fresh').hidden = false;
  }
  view.newest = Math.max(view.newest, newest);
}

// ------------------------------------------------------------------ start

function resumeOpenCodes() {
  const oldest = Date.now() - CODE_DAYS * 24 * 60 * 60 * 1000;
  for (const purchase of store.all('code:')) {
    if (purchase.since < oldest) store.remove(`code:${purchase.code}`);
    else resume(purchase, showResult(purchase));
  }
}

function start() {
  const kept = store.get('user');
  $('user').value = typeof kept === 'string' && USER.test(kept) ? kept : randomUser();
  userChanged();
  $('user').addEventListener('input', userChanged);
  $('user-form').addEventListener('submit', (event) => event.preventDefault());
  $('sale-select').addEventListener('change', (event) => visit(Number(event.target.value), 1));
  $('fresh-go').addEventListener('click', () => {
    $('fresh').hidden = true;
    visit(view.newest, 1);
  });
  window.addEventListener('hashchange', follow);
  window.addEventListener('storage', () => {
    showMine();
    refreshCards();
  });
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) poll();
  });
  buildPagers();
  resumeOpenCodes();
  poll();
}

start();
