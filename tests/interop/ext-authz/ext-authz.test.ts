/** The same bootstrap in Envoy and in Tulle: what the client is answered, what is logged, and what the service is asked. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Authorizer,
  type GrpcAnswer,
  type SeenHttp,
  startGrpcAuthorizer,
  startHttpAuthorizer,
} from '../../kit/authorizer.ts';
import { ROOT, RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import { freePorts } from '../../kit/ports.ts';
import type { Fields } from '../../kit/protobuf.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { closeServers, listening } from '../../kit/upstream.ts';
import { until } from '../../kit/waiting.ts';
import { outcomeOf } from '../harness/compare.ts';
import { type Echo, startBytes, startEcho } from '../harness/echo.ts';
import { bootstrap } from './bootstrap.ts';
import { CASES as ALL_CASES, type AuthzCase } from './cases.ts';

const CASES = ALL_CASES.filter(({ id }) => new RegExp(process.env['TULLE_CASES'] ?? '').test(id));

/** Where Tulle differs on purpose: the document names the case, with the reason. */
const deliberate = new Set(
  [...readFileSync(join(ROOT, 'docs/differences-from-envoy.md'), 'utf8').matchAll(/^- `authz\/([a-z0-9-]+)`/gm)].map(
    ([, id]) => id!,
  ),
);

/** Of Envoy's own client, on each request that it makes. */
const OF_THE_CLIENT = new Set(['x-envoy-internal', 'x-forwarded-for', 'x-envoy-expected-rq-timeout-ms', 'connection']);

function askedOverHttp({ method, path, headers, body }: SeenHttp): object {
  const compared = headers
    .filter(([name, value]) => !OF_THE_CLIENT.has(name) && !(name === 'content-length' && value === '0'))
    .map((field) => field.join(': '))
    .sort();
  return { method, path, headers: compared, body };
}

/** Without what is different each time. */
function askedOverGrpc(attributes: Fields): object {
  const text = JSON.stringify(attributes, (key, value: unknown) => {
    if (key === 'time' || key === 'port') return 'SOME';
    if (key === 'id') return /^\d+$/.test(String(value)) ? 'SOME' : value;
    if (key === 'x-request-id') return 'SOME';
    if ((value as { key?: string } | null)?.key === 'x-request-id') return 'SOME';
    return value;
  });
  return JSON.parse(text, (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  ) as object;
}

const caseOf = (headers: Readonly<Record<string, unknown>>): string => String(headers['x-case'] ?? '');

/** The id of the case that a check is about; '': a connection. */
function caseOfGrpc(attributes: Fields): string {
  if (attributes['request'] === undefined) return '';
  const http = (attributes['request'] as Fields)['http'] as Fields;
  const map = http['headerMap'] as { headers: { key: string; raw?: string }[] } | undefined;
  const raw = map?.headers.find(({ key }) => key === 'x-case')?.raw;
  return raw === undefined ? caseOf((http['headers'] ?? {}) as Fields) : Buffer.from(raw, 'base64').toString();
}

async function overHttp2(port: number, { headers, body }: NonNullable<AuthzCase['http2']>): Promise<object> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  try {
    return await new Promise<object>((done, fail) => {
      const stream = session.request({ ':method': 'GET', ':scheme': 'http', ...headers });
      let text = '';
      let head: object = {};
      let trailers: object = {};
      stream.setEncoding('latin1');
      stream.on('response', (fields) => {
        const { date: _, 'x-envoy-upstream-service-time': __, ...compared } = fields;
        head = Object.fromEntries(Object.entries(compared).sort(([a], [b]) => (a < b ? -1 : 1)));
      });
      stream.on('trailers', (fields) => (trailers = { ...fields }));
      stream.on('data', (chunk: string) => (text += chunk));
      stream.on('end', () => done({ head, trailers, body: text.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'ID') }));
      stream.on('error', fail);
      session.on('error', fail);
      stream.end(body);
    });
  } finally {
    session.destroy();
  }
}

/** What a client hears that sends a few bytes. */
function overTcp(port: number): Promise<string> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('hello bye'));
    let heard = '';
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => (heard += text));
    socket.on('error', () => {});
    socket.on('close', () => done(heard));
  });
}

const CONNECTION_CASES: readonly (readonly [id: string, listener: string, answer: GrpcAnswer])[] = [
  ['t-allow', 't-plain', {}],
  ['t-deny', 't-plain', { response: { status: { code: 7 } } }],
  ['t-error', 't-plain', { grpcStatus: 13 }],
  ['t-reset', 't-plain', { reset: true }],
  ['t-unreachable', 't-closed', {}],
  ['t-unreachable-open', 't-open', {}],
  ['t-matched-deny', 't-matched', { response: { status: { code: 7 } } }],
  ['t-unmatched-deny', 't-unmatched', { response: { status: { code: 7 } } }],
];

describe.skipIf(!ENVOY)('ext_authz in Envoy and in Tulle', () => {
  const folder = temporaryFolder();
  const byId = new Map(ALL_CASES.map((one) => [one.id, one]));
  const expected = new Map<string, unknown>();
  let http: Authorizer<SeenHttp>;
  let grpc: Authorizer<Fields>;
  let echoes: Echo[] = [];
  let config: object;

  /** What the services were asked since, and forgets it. */
  const takeChecks = (id: string): object => {
    const ofHttp = http.checks.filter(({ seen }) => caseOf(Object.fromEntries(seen.headers)) === id);
    const ofGrpc = grpc.checks.filter(({ seen }) => caseOfGrpc(seen) === id);
    for (const one of ofHttp) http.checks.splice(http.checks.indexOf(one), 1);
    for (const one of ofGrpc) grpc.checks.splice(grpc.checks.indexOf(one), 1);
    return { http: ofHttp.map(({ seen }) => askedOverHttp(seen)), grpc: ofGrpc.map(({ seen }) => askedOverGrpc(seen)) };
  };

  const run = async (proxy: RunningProxy, given: AuthzCase): Promise<unknown> => {
    const { id, listener, bytes, method, requests = 1, unlogged = false } = given;
    const answer = given.http2
      ? await overHttp2(proxy.ports[listener]!, given.http2)
      : await outcomeOf(proxy, {
          id,
          listener,
          bytes: bytes!,
          methods: Array.from({ length: requests }, () => method),
          unlogged,
        });
    return { answer, asked: takeChecks(id) };
  };

  /** To connections. */
  let answer: GrpcAnswer = {};
  const runConnections = async (proxy: RunningProxy): Promise<object[]> => {
    const out: object[] = [];
    for (const [id, listener, given] of CONNECTION_CASES) {
      answer = given;
      const heard = await overTcp(proxy.ports[listener]!);
      out.push({ id, heard, asked: grpc.checks.splice(0).map(({ seen }) => askedOverGrpc(seen)) });
    }
    return out;
  };
  let expectedOfConnections: object[];

  beforeAll(async () => {
    http = await startHttpAuthorizer(
      (seen) => byId.get(caseOf(Object.fromEntries(seen.headers)))?.http ?? { status: 418 },
    );
    grpc = await startGrpcAuthorizer((seen) => {
      const id = caseOfGrpc(seen);
      return id === '' ? answer : (byId.get(id)?.grpc ?? { grpcStatus: 5 });
    });
    echoes = [await startEcho('echo'), await startEcho('second'), await startBytes()];
    const [dead] = await freePorts(1);
    const [echo, second, bytes] = echoes.map(({ port }) => port) as [number, number, number];
    config = bootstrap({ echo, second, http: http.port, grpc: grpc.port, dead: dead!, bytes });
    const envoy = await startEnvoy(config, folder.path);
    try {
      for (const given of CASES) expected.set(given.id, await run(envoy, given));
      expectedOfConnections = await runConnections(envoy);
    } finally {
      await envoy.stop();
    }
  });
  afterAll(() => {
    http?.stop();
    grpc?.stop();
    for (const echo of echoes) echo.stop();
    folder.dispose();
  });

  it('has at least 120 cases; the document excuses only cases that exist', () => {
    expect(byId.size).toBe(ALL_CASES.length);
    expect(byId.size).toBeGreaterThanOrEqual(120);
    expect([...deliberate].filter((id) => !byId.has(id))).toEqual([]);
  });

  it.each(RUNTIMES)('%s answers, logs and asks as Envoy does', async (runtime) => {
    const tulle = await startTulle(runtime, config, folder.path);
    const differences: object[] = [];
    try {
      for (const given of CASES) {
        const found = await run(tulle, given);
        const same = JSON.stringify(found) === JSON.stringify(expected.get(given.id));
        if (same === deliberate.has(given.id))
          differences.push({ id: given.id, same, envoy: expected.get(given.id), tulle: found });
      }
      expect(await runConnections(tulle)).toEqual(expectedOfConnections);
    } finally {
      await tulle.stop();
    }
    expect(differences).toEqual([]);
  });

  it.each(RUNTIMES)(
    '%s forwards nothing before the verdict, and asks no longer once the client has left',
    async (runtime) => {
      const upstream: string[] = [];
      const server = createServer((request, response) => {
        upstream.push(request.url!);
        response.end();
      });
      let release = () => {};
      const held = new Promise<void>((done) => (release = done));
      const slow = createServer((_, response) => void held.then(() => response.end()));
      const given = new Set<string>();
      slow.on('request', ({ url }, response) => {
        given.add(url!);
        response.on('close', () => {
          if (!response.writableFinished) given.delete(url!);
        });
      });
      const ports = {
        echo: await listening(server),
        second: 1,
        http: await listening(slow),
        grpc: 1,
        dead: 1,
        bytes: 1,
      };
      const tulle = await startTulle(runtime, bootstrap(ports), folder.path);
      try {
        const port = tulle.ports['h-plain']!;
        const leaving = connect(port, '127.0.0.1');
        leaving.write('GET /leaves HTTP/1.1\r\nHost: main.test\r\n\r\n');
        const waiting = fetch(`http://127.0.0.1:${port}/waits`);
        await until('both are asked about', () => given.size === 2);
        leaving.destroy();
        await until('the question of the one that left has ended', () => given.size === 1);
        expect(upstream).toEqual([]);
        release();
        expect((await waiting).status).toBe(200);
        expect(upstream).toEqual(['/waits']);
      } finally {
        await tulle.stop();
        closeServers(server, slow);
      }
    },
  );
});
