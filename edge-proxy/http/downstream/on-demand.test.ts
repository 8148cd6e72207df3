/** Requests whose host is known and not here: they wait for it with all of their message, and no filter sees them before. */
import { afterEach, expect, it } from 'vitest';
import { Fetches } from '../../upstream/fetches.ts';
import type { HttpFilter } from '../filters/hooks.ts';
import type { RouteEntry } from '../routing/route-table.ts';
import { closeAll, forward, ok, setup } from '../testing/manager.ts';

afterEach(closeAll);

const settled = () => new Promise((done) => setImmediate(done));
const post = (body: string) => `POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const get = 'GET /p HTTP/1.1\r\nHost: h\r\n\r\n';

function run(filters: HttpFilter[] = [], maxWaiting = 10) {
  const fetches = new Fetches({ now: () => 0, monotonicMs: () => 0 }, { waitMs: 60_000, maxWaiting });
  let route: RouteEntry | null = null;
  let known = true;
  const parts = setup({
    options: {
      filters,
      routes: () => ({
        name: 't',
        match: () => route,
        fetch: () => (route === null && known ? fetches.join('virtualHosts', '80/h') : undefined),
      }),
    },
  });
  const settle = (outcome: 'changed' | 'refused', next: RouteEntry | null, isKnown = true) => {
    route = next;
    known = isKnown;
    fetches.settle('virtualHosts', '80/h', outcome);
  };
  return { ...parts, fetches, settle };
}

it('a body that came meanwhile passes the filters whole, and what follows behind it', async () => {
  const seen: string[] = [];
  const filter: HttpFilter = {
    name: 'f',
    onRequestHead: (_, end) => void seen.push(`head ${end}`),
    onRequestData: (_, bytes, end) => void seen.push(`${new TextDecoder().decode(bytes)} ${end}`),
  };
  const { connect, backend, settle, finished } = run([filter]);
  const client = connect().send('POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
  await settled();
  client.send('3\r\ndef\r\n');
  await settled();
  expect(seen).toEqual([]);
  settle('changed', forward());
  await settled();
  client.send('0\r\n\r\n');
  const upstream = await backend();
  await upstream.saw('def');
  upstream.send(ok);
  await client.saw('hi');
  expect(seen.filter((line) => line !== ' true')).toEqual(['head false', 'abc false', 'def false']);
  expect(finished[0]!.bytesReceived).toBe(6);
});

it('requests of one connection keep their order', async () => {
  const { connect, backend, settle } = run();
  const client = connect().send(post('one') + get);
  await settled();
  settle('changed', forward());
  const upstream = await backend();
  await upstream.saw('one');
  upstream.send(ok);
  await client.saw('hi');
  await upstream.saw('GET /p');
});

it('is answered 503 with flag NC where it does not come, and named in the log', async () => {
  const { connect, finished, settle } = run();
  const client = connect().send(get);
  await settled();
  settle('refused', null);
  await client.saw('503 Service Unavailable');
  expect(finished.map((request) => [request.details, [...request.flags]])).toEqual([
    ['on_demand_fetch_refused{80/h}', ['NC']],
  ]);
  // The connection continues.
  client.send(get);
  await settled();
  expect(finished).toHaveLength(2);
});

it('gets what a host that is unknown gets, where it left the index', async () => {
  const { connect, finished, settle } = run();
  const client = connect().send(get);
  await settled();
  settle('changed', null, false);
  await client.saw('404 Not Found');
  expect(finished[0]!.details).toBe('route_not_found');
});

it('is answered 503 with flag UO beyond the limit', async () => {
  const { connect, finished, fetches } = run([], 1);
  connect().send(get);
  await settled();
  const client = connect().send(get);
  await client.saw('503 Service Unavailable');
  expect(finished.map((request) => [request.details, [...request.flags]])).toEqual([
    ['on_demand_fetch_overflow{80/h}', ['UO']],
  ]);
  fetches.close();
});

it('that its client gives up meets no filter and no upstream', async () => {
  const seen: string[] = [];
  const { connect, finished, settle } = run([{ name: 'f', onRequestHead: () => void seen.push('head') }]);
  const client = connect().send(post('abc'));
  await settled();
  client.connection.destroy();
  await settled();
  expect([...finished[0]!.flags]).toEqual(['DC']);
  settle('changed', forward());
  await settled();
  expect([seen, finished]).toEqual([[], [expect.anything()]]);
});
