/**
 * One bootstrap with DENY policies and routes, in Envoy and in Tulle: generated spellings of paths, hosts, methods and
 * header fields meet the same verdict, and the upstream receives the same request.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runsFactor, seed } from '../../fuzz/random.ts';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { NAME_LISTENERS, PATH_LISTENERS, spellingsBootstrap } from './bootstrap.ts';
import { type Answered, sendAll } from './client.ts';
import { headOf, type NamedRequest, namedRequest, target } from './generate.ts';
import { startUpstream, type Upstream } from './upstream.ts';

const TARGETS = 3600 * runsFactor;
const NAMED = 2100 * runsFactor;

/** Sent to every listener beside the generated ones. */
const KNOWN_TARGETS = [
  ...[
    '/admin',
    '/x/../admin',
    '/x/..;/admin',
    '/..;/admin',
    '/x/..;a=b/admin',
    '/x/.;/../admin',
    '/x/..;',
    '/x/..;?/admin',
  ],
  ...['/x/%2e%2e/admin', '/x/%2E./admin', '/x/%2e%2e;/admin', '/x/%252e%252e/admin', '/x/..%3b/admin', '/x\\..\\admin'],
  ...[
    '/x\\..;/admin',
    '/x%2f..%2fadmin',
    '/x%2f..;%2fadmin',
    '/x%5c..;%5cadmin',
    '//admin',
    '/admin//',
    '//',
    '/admin;x',
  ],
  ...[
    '/%61dmin',
    '/%2561dmin',
    '/%%361dmin',
    '/ad%6d%69n',
    '/admin?x',
    '/admin#x',
    '/admin%23',
    '/admin%3fx',
    '/ADMIN',
  ],
  ...['http://any.test/x/..;/admin', 'http://any.test/admin', 'http://a%2eb/admin', 'http://a;b/admin', 'http://a_b/'],
];

/** A segment that may be `.` or `..` with parameters once it is decoded: docs/differences-from-envoy.md. */
const REVEALED = /(?:[/\\]|%2f|%5c)(?:\.|%2e){1,2};/i;
const LEFT_BY_ENVOY = /\/\.\.?;/;
/** A host with an optional port; we refuse others: docs/differences-from-envoy.md. */
const HOST = /^(?:[^@:[\]\s\\]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i;

const pathOf = (text: string) => text.split('?')[0]!;

/** @returns undefined when the two agree, or differ as the document says */
function pathDifference(sent: string, envoy: Answered, tulle: Answered): object | undefined {
  const forwarded = envoy.received.split(' ')[1] ?? envoy.location;
  const left = LEFT_BY_ENVOY.test(pathOf(forwarded)) && REVEALED.test(pathOf(sent));
  // What Envoy would have forwarded is not seen where a policy refuses it.
  const refusedToo = envoy.status === 403 && tulle.status === 400 && REVEALED.test(pathOf(sent));
  const same = JSON.stringify(tulle) === JSON.stringify(envoy);
  return same || refusedToo || (left && tulle.status === 400) ? undefined : { sent, envoy, tulle };
}

function nameDifference(sent: NamedRequest, port: number, envoy: Answered, tulle: Answered): object | undefined {
  const host = sent.host.trim().replace('PORT', String(port));
  const valid = HOST.test(host) && Number(/:(\d+)$/.exec(host)?.[1] ?? 0) <= 65_535;
  // Envoy drops user information from an absolute target.
  const wanted = valid && !sent.origin.includes('@') ? envoy : { ...envoy, status: 400, received: '' };
  const same = wanted.status === tulle.status && wanted.received === tulle.received;
  return same ? undefined : { sent: headOf(sent, port), envoy, tulle };
}

describe.skipIf(!ENVOY)('spellings of a request', () => {
  const folder = temporaryFolder();
  const proxies: RunningProxy[] = [];
  const targets = new Map<string, readonly string[]>();
  const named = new Map<string, readonly NamedRequest[]>();
  const envoyAnswers = new Map<string, readonly Answered[]>();
  let upstream: Upstream;
  let bootstrap: object;

  const heads = (listener: string, port: number) =>
    targets.get(listener)?.map((text) => `GET ${text} HTTP/1.1\r\nHost: any.test\r\n\r\n`) ??
    named.get(listener)!.map((request) => headOf(request, port));
  const answersOf = async ({ ports }: RunningProxy, listener: string): Promise<readonly Answered[]> => {
    const port = ports[listener]!;
    const answers = await sendAll(port, heads(listener, port));
    // The port of a listener is the one thing that differs.
    return answers.map((one) => ({ ...one, received: one.received.replaceAll(`:${port}\n`, ':PORT\n') }));
  };

  beforeAll(async () => {
    console.log(`spellings: TULLE_FUZZ_SEED=${seed}, ${TARGETS} targets, ${NAMED} hosts, methods and fields`);
    for (const [name, several] of dealt(Object.keys(PATH_LISTENERS), fc.sample(target, { seed, numRuns: TARGETS })))
      targets.set(name, [...KNOWN_TARGETS, ...new Set(several)]);
    for (const [name, several] of dealt(Object.keys(NAME_LISTENERS), fc.sample(namedRequest, { seed, numRuns: NAMED })))
      named.set(name, several);
    upstream = await startUpstream();
    bootstrap = spellingsBootstrap(upstream.port);
    const envoy = await startEnvoy(bootstrap, folder.path);
    proxies.push(envoy);
    for (const name of [...targets.keys(), ...named.keys()]) envoyAnswers.set(name, await answersOf(envoy, name));
  });
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    upstream?.stop();
    folder.dispose();
  });

  it('Envoy lets some pass, denies some and refuses some: there is something to agree on', () => {
    for (const [name, answers] of envoyAnswers)
      for (const status of [200, 400, 403])
        expect(answers.filter((one) => one.status === status).length, `${name} ${status}`).toBeGreaterThan(2);
    const redirects = envoyAnswers.get('redirect')!.filter(({ status }) => status === 307);
    expect(redirects.length).toBeGreaterThan(20);
  });

  it.each(RUNTIMES)('%s treats each as Envoy does', async (runtime) => {
    const tulle = await startTulle(runtime, bootstrap, folder.path);
    proxies.push(tulle);
    const differences: object[] = [];
    for (const [name, expected] of envoyAnswers) {
      const found = await answersOf(tulle, name);
      for (const [i, envoy] of expected.entries()) {
        const one = named.get(name)?.[i];
        const difference = one
          ? nameDifference(one, tulle.ports[name]!, envoy, found[i]!)
          : pathDifference(targets.get(name)![i]!, envoy, found[i]!);
        if (difference) differences.push({ listener: name, ...difference });
      }
    }
    // The shortest explain the others.
    differences.sort((a, b) => JSON.stringify(a).length - JSON.stringify(b).length);
    expect(differences.slice(0, 20), `${differences.length} differences, TULLE_FUZZ_SEED=${seed}`).toEqual([]);
  });

  it.each([
    ['base', '/x/..;/admin', 403],
    ['base', '/x/..;a=b/admin', 403],
    ['base', '/..;/admin', 403],
    ['raw', '/x/..;/admin', 200],
  ])('Envoy answers at %s to %s with %i', (listener, text, status) => {
    expect(envoyAnswers.get(listener)![KNOWN_TARGETS.indexOf(text)]!.status).toBe(status);
  });
});

/** Deals a list out to receivers. */
function dealt<T>(names: readonly string[], list: readonly T[]): [string, T[]][] {
  return names.map((name, i) => [name, list.filter((_, at) => at % names.length === i)]);
}
