import { describe, expect, it, vi } from 'vitest';
import type { Validity } from '../../shared/identity/verify.ts';
import {
  DiscoveryAnswer,
  type DiscoveryPoll,
  RESOURCE_TYPES,
  type Snapshot,
  TYPE_URLS,
} from '../../shared/xds/discovery.ts';
import { nackMessage } from '../../shared/xds/nack.ts';
import type { CompiledNode } from '../compile/output/compiled-node.ts';
import { canonicalJson, digest } from '../compile/output/digest.ts';
import type { Finding } from '../compile/output/finding.ts';
import { setsOf } from '../compile/output/snapshot.ts';
import { fixedCompile, oneStep, oneStepCompile } from '../compile/testing/fixed-compile.ts';
import type { MeshListener } from '../mesh/follow-store.ts';
import { meshChange } from '../mesh/testing/mesh-change.ts';
import type { MeshView } from '../mesh/view.ts';
import { answerChunks, type PollAnswer } from './answer.ts';
import { type DiscoveryOptions, DiscoveryService } from './service.ts';
import { ManualClock } from './testing/manual-clock.ts';

const view = (revision: number) => ({ revision }) as MeshView;

function harness(options: Partial<DiscoveryOptions> = {}) {
  const clock = new ManualClock();
  const clusters = new Map<string, string>([['a', '1s']]);
  let revision = 1;
  const listeners = new Set<MeshListener>();
  const counts = { compiled: 0 };
  const service = new DiscoveryService({
    compile: fixedCompile((): Snapshot => {
      counts.compiled++;
      const list = [...clusters].map(([name, connectTimeout]) => ({ name, connectTimeout }));
      return { secrets: [], clusters: list, endpoints: [], listeners: [], routes: [] };
    }),
    mesh: {
      current: () => view(revision),
      onChange(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    clock,
    ...options,
  });
  const change = (edit: () => void, key = 'shop/a') => {
    edit();
    revision++;
    for (const listener of listeners) listener(view(revision), meshChange({ VirtualService: [key] }));
  };
  return { clock, clusters, service, change, counts, listeners };
}

const node = { id: 'sidecar~10.0.0.1~a.default~x', metadata: { NAMESPACE: 'default', SERVICE_ACCOUNT: 'a' } };
const caller = 'spiffe://cluster.local/ns/default/sa/a';
const open = new AbortController().signal;

const first = (versions: Record<string, string> = {}): DiscoveryPoll => ({
  node,
  requests: RESOURCE_TYPES.map((type) => ({
    typeUrl: TYPE_URLS[type],
    resourceNamesSubscribe: ['*'],
    initialResourceVersions: type === 'clusters' ? versions : {},
  })),
});
const ack = (answer: PollAnswer, errors: Map<string, string> = new Map()): DiscoveryPoll => ({
  session: answer.session,
  node,
  requests: answer.responses.map(({ typeUrl, nonce }) => ({
    typeUrl,
    responseNonce: nonce,
    ...(errors.size > 0 ? { errorDetail: { code: 3, message: nackMessage(errors) } } : {}),
  })),
});
const names = (answer: PollAnswer) => answer.responses.flatMap((r) => r.resources.map(({ name }) => name));
/** An answer as a proxy reads it. */
const sent = (answer: PollAnswer) =>
  DiscoveryAnswer.parse(JSON.parse(Buffer.concat([...answerChunks(answer)]).toString()));
const clustersOf = (service: DiscoveryService) => service.status()[0]!.types.clusters;

describe('DiscoveryService', () => {
  it('sends everything first, then only changes, then removals', async () => {
    const { service, clock, clusters, change } = harness();
    const one = await service.poll(first(), caller, open);
    expect(names(one)).toEqual(['a']);
    expect(sent(one).responses).toMatchObject([
      { typeUrl: TYPE_URLS.clusters, resources: [{ name: 'a', resource: { name: 'a', connectTimeout: '1s' } }] },
    ]);
    expect(clustersOf(service).state).toBe('STALE');

    const held = service.poll(ack(one), caller, open);
    expect(clustersOf(service)).toMatchObject({ state: 'SYNCED', resources: 1 });
    change(() => clusters.set('b', '2s'));
    clock.advance(100);
    const two = await held;
    expect(names(two)).toEqual(['b']);

    const next = service.poll(ack(two), caller, open);
    change(() => clusters.delete('a'));
    clock.advance(100);
    expect((await next).responses.map(({ removedResources }) => removedResources)).toEqual([['a']]);
  });

  it('leaves a held poll alone when nothing changes for its proxy', async () => {
    const { service, clock, counts, change } = harness({ holdMs: 1000 });
    const held = service.poll(ack(await service.poll(first(), caller, open)), caller, open);
    change(() => {});
    await vi.waitFor(() => expect(counts.compiled).toBe(2));
    await vi.waitFor(() => expect(service.held).toBe(1));
    clock.advance(1000);
    expect((await held).responses).toEqual([]);
  });

  it('holds a poll with nothing to say until the hold is over', async () => {
    const { service, clock } = harness({ holdMs: 30_000 });
    const held = service.poll(ack(await service.poll(first(), caller, open)), caller, open);
    let done = false;
    void held.then(() => (done = true));
    clock.advance(29_999);
    await Promise.resolve();
    expect(done).toBe(false);
    clock.advance(1);
    expect((await held).responses).toEqual([]);
  });

  it('does not resend a refused version until it changes, and keeps the error text', async () => {
    const { service, clock, clusters, change } = harness();
    change(() => clusters.set('bad', '9s'));
    clock.advance(100);
    const one = await service.poll(first(), caller, open);
    const held = service.poll(ack(one, new Map([['bad', 'connectTimeout: too\nlong']])), caller, open);
    expect(clustersOf(service)).toMatchObject({
      state: 'NACK',
      resources: 1,
      refused: [{ name: 'bad', message: 'connectTimeout: too long' }],
    });
    change(() => clusters.set('other', '1s'));
    clock.advance(100);
    const two = await held;
    expect(names(two)).toEqual(['other']);
    const again = service.poll(ack(two), caller, open);
    change(() => clusters.set('bad', '1s'));
    clock.advance(100);
    const three = await again;
    expect(names(three)).toEqual(['bad']);
    void service.poll(ack(three), caller, open);
    expect(clustersOf(service)).toMatchObject({ state: 'SYNCED', refused: [] });
    service.close();
  });

  it('takes a NACK that names no resource as one of the whole response', async () => {
    const { service } = harness();
    const one = await service.poll(first(), caller, open);
    const poll = ack(one);
    poll.requests[0]!.errorDetail = { code: 3, message: 'no' };
    void service.poll(poll, caller, open);
    expect(clustersOf(service).refused).toMatchObject([{ name: 'a', message: 'no' }]);
    service.close();
  });

  it('offers again what was lost on the way', async () => {
    const { service } = harness();
    const one = await service.poll(first(), caller, open);
    const retry = await service.poll({ session: one.session, node, requests: [] }, caller, open);
    expect(names(retry)).toEqual(['a']);
    expect(retry.responses[0]!.nonce).not.toBe(one.responses[0]!.nonce);
  });

  it('resumes from what a proxy says it has, also on a new control plane, and answers at once', async () => {
    const version = digest({ name: 'a', connectTimeout: '1s' });
    const { service } = harness();
    expect((await service.poll(first({ a: version }), caller, open)).responses).toEqual([]);
    expect(clustersOf(service).state).toBe('SYNCED');
    const stale = await service.poll(first({ a: 'old', gone: 'x' }), caller, open);
    expect(names(stale)).toEqual(['a']);
    expect(stale.responses[0]!.removedResources).toEqual(['gone']);
  });

  it('answers an unknown session at once with a new one and nothing else', async () => {
    const { service } = harness();
    const answer = await service.poll({ session: 'from-before', node, requests: [] }, caller, open);
    expect(answer.responses).toEqual([]);
    expect(answer.session).not.toBe('from-before');
  });

  it("refuses to poll another node's session", async () => {
    const { service } = harness();
    const one = await service.poll(first(), caller, open);
    const thief = await service.poll(ack(one), 'spiffe://cluster.local/ns/default/sa/b', open);
    expect(thief.session).not.toBe(one.session);
    expect(thief.responses).toEqual([]);
  });

  it('frees the waiter when the caller goes away, and ends an older poll of the same session', async () => {
    const { service, clock } = harness();
    const one = await service.poll(first(), caller, open);
    const abort = new AbortController();
    const gone = service.poll(ack(one), caller, abort.signal);
    abort.abort();
    expect((await gone).responses).toEqual([]);
    const older = service.poll({ session: one.session, node, requests: [] }, caller, open);
    const newer = service.poll({ session: one.session, node, requests: [] }, caller, open);
    expect((await older).responses).toEqual([]);
    clock.advance(25_000);
    expect((await newer).responses).toEqual([]);
  });

  it('forgets sessions that are not polled, and refuses more than the limit', async () => {
    const { service, clock } = harness({ limits: { total: 1 }, sessionTtlMs: 1000 });
    await service.poll(first(), caller, open);
    const other = { ...first(), node: { ...node, id: 'other' } };
    await expect(service.poll(other, caller, open)).rejects.toMatchObject({ code: 'unavailable' });
    clock.advance(1001);
    await service.poll(other, caller, open);
    expect(service.status().map(({ id }) => id)).toEqual(['other']);
  });

  it('shows a node id for each identity that uses it: none takes the place of another', async () => {
    const { service } = harness();
    const other = caller.replace('/sa/a', '/sa/b');
    const asOther = { ...first(), node: { ...node, metadata: { ...node.metadata, SERVICE_ACCOUNT: 'b' } } };
    await service.poll(first(), caller, open);
    await service.poll(asOther, other, open);
    const rows = service.status();
    expect(rows.map(({ id, serviceAccount }) => [id, serviceAccount])).toEqual([
      [node.id, 'a'],
      [node.id, 'b'],
    ]);
    expect(rows[0]!.notes).toEqual([`${other} uses this node id, too: one of them has the --name or --ip of another`]);
    expect(() => service.configOf(node.id)).toThrow(
      `service accounts a, b use node id "${node.id}": name one with --service-account`,
    );
    expect(service.configOf(node.id, 'b')).toBeDefined();
    expect(service.configOf(node.id, 'c')).toBeUndefined();
  });

  it('notes proxies that claim one address, but not on loopback, where they share it', async () => {
    const { service } = harness();
    const at = (id: string): DiscoveryPoll => ({ ...first(), node: { ...node, id } });
    const ids = ['10.0.0.9~x', '10.0.0.9~y', '127.0.0.1~x', '127.0.0.1~y'].map((start) => `sidecar~${start}.default~d`);
    for (const id of ids) await service.poll(at(id), caller, open);
    const notes = Object.fromEntries(service.status().map((row) => [row.id, row.notes]));
    expect(notes[ids[0]!]).toEqual([
      `${ids[1]} claims its address 10.0.0.9, too: two sidecars of one address listen on the same ports; give each its own --ip`,
    ]);
    expect(notes[ids[2]!]).toEqual([]);
  });

  it('notes two proxies of one id and identity', async () => {
    const { service, clock } = harness();
    const held = service.poll(ack(await service.poll(first(), caller, open)), caller, open);
    await service.poll(first(), caller, open);
    expect(service.status().map(({ notes }) => notes)).toEqual([
      ['2 proxies use this node id and identity: give each its own --ip or --name'],
    ]);
    clock.advance(25_000);
    await held;
  });

  it('says why resources are stale, also after a change of address', async () => {
    const { service, clock, change, clusters } = harness();
    const answer = await service.poll(first(), caller, open);
    const reason = () => service.status()[0]!.types.clusters.reason;
    expect(reason()).toBe('sent, not acknowledged yet');
    const held = service.poll(ack(answer), caller, open);
    expect(reason()).toBeUndefined();
    change(() => clusters.set('b', '1s'));
    await held;
    clock.advance(20_000);
    expect(service.status()[0]).toMatchObject({
      connected: false,
      notes: [expect.stringMatching(/^not connected since 1970-01-01T00:16:40.000Z: it was stopped, cannot reach/)],
    });
    expect(reason()).toBe('the proxy is not connected');
    const moved = { ...first(), node: { ...node, id: node.id.replace('10.0.0.1', '10.0.0.2') } };
    await service.poll(moved, caller, open);
    expect(service.status()[0]!.notes).toEqual([
      expect.stringContaining(`${moved.node.id} of the same name and identity is connected: where its address changed`),
    ]);
  });

  it('says when the certificate of a proxy expires, and notes one that is not renewed or has expired', async () => {
    const { service, clock } = harness();
    const start = clock.now();
    const hour = 3_600_000;
    const certificate = { notBefore: start, notAfter: start + 4 * hour };
    const expires = new Date(certificate.notAfter).toISOString();
    const row = () => service.status()[0]!;
    const { session } = await service.poll(first(), caller, open, certificate);
    expect(row()).toMatchObject({ certificateExpires: expires, notes: [] });
    const poll = (presented?: Validity) => service.poll({ ...first(), session }, caller, open, presented);
    /** It polls all the time, as its session would end otherwise. */
    const until = async (time: number, presented?: Validity) => {
      while (clock.now() < time) {
        clock.advance(Math.min(60_000, time - clock.now()));
        await poll(presented);
      }
    };
    await until(start + 3 * hour + 30_000, certificate);
    expect(row().notes).toEqual([]);
    await until(start + 3 * hour + 30_001, certificate);
    expect(row().notes).toEqual([
      expect.stringMatching(`^its certificate expires at ${expires} and is not renewed: .* new join token`),
    ]);
    await until(start + 4 * hour, certificate);
    clock.advance(1);
    expect(row()).toMatchObject({ connected: true, notes: [] });
    clock.advance(20_000);
    expect(row().notes).toContain(
      `its certificate expired at ${expires}: restart it with a new join token ("tulle token create")`,
    );
    await poll({ notBefore: clock.now(), notAfter: clock.now() + hour });
    expect(row()).toMatchObject({ certificateExpires: new Date(clock.now() + hour).toISOString(), notes: [] });
    await poll();
    expect(row()).not.toHaveProperty('certificateExpires');
  });

  it('gives the advice on a connected node', async () => {
    const advise = (_view: MeshView, { id }: { id: string }) => (id === node.id ? 'it serves nothing' : undefined);
    const { service, clock } = harness({ advise });
    await service.poll(first(), caller, open);
    expect(service.status()[0]!.notes).toEqual(['it serves nothing']);
    clock.advance(20_000);
    expect(service.status()[0]!.notes.join()).not.toContain('serves');
  });

  it('keeps a bounded part of the reasons that a proxy gives', async () => {
    const { service, clusters } = harness();
    for (let n = 0; n < 200; n++) clusters.set(`c${n}`, '1s');
    const one = await service.poll(first(), caller, open);
    const reasons = new Map([...clusters.keys()].map((name) => [name, `${name} ${'x'.repeat(5000)}`]));
    void service.poll(ack(one, reasons), caller, open);
    const { refused } = service.status()[0]!.types.clusters;
    expect(refused).toHaveLength(201);
    expect(refused.every(({ message }) => message.length <= 1024)).toBe(true);
    expect(refused.reduce((sum, { message }) => sum + message.length, 0)).toBeLessThan(80_000);
    expect(refused.at(-1)!.message).toMatch(/the reason is not kept/);
  });

  it('forgets a session whose names become too many when what it holds is compared', async () => {
    const limits = { names: { perSession: 1000, perIdentity: 10_000, total: 10_000 } };
    const { service, clusters, change } = harness({ limits });
    const gone = ['x', 'y'].map((letter) => letter.repeat(400));
    for (const name of gone) clusters.set(name, '1s');
    const also = (poll: DiscoveryPoll, more: object): DiscoveryPoll => ({
      ...poll,
      requests: [{ ...poll.requests[0]!, typeUrl: TYPE_URLS.clusters, ...more }],
    });
    const one = await service.poll(first(), caller, open);
    // Names of resources that it holds are charged once, those of others twice.
    const two = await service.poll(also(ack(one), { resourceNamesSubscribe: gone }), caller, open);
    change(() => gone.forEach((name) => void clusters.delete(name)));
    await expect(service.poll(also(ack(two), { heldDigests: [] }), caller, open)).rejects.toMatchObject({
      code: 'limited',
    });
    expect(service.status()).toEqual([]);
    expect(names(await service.poll({ ...first(), session: one.session }, caller, open))).toEqual(['a']);
  });

  it('limits the sessions of an identity and of a namespace, and leaves the others room', async () => {
    const { service } = harness({ limits: { perIdentity: 2, perNamespace: 3 } });
    const asNode = (id: string): DiscoveryPoll => ({ ...first(), node: { ...node, id } });
    const account = (name: string, namespace = 'default') => `spiffe://cluster.local/ns/${namespace}/sa/${name}`;
    const held = [];
    for (const id of ['1', '2']) {
      const next = { ...ack(await service.poll(asNode(id), caller, open)), node: { ...node, id } };
      held.push(service.poll(next, caller, open));
    }
    const refused = (id: string, who: string) => expect(service.poll(asNode(id), who, open)).rejects;
    await refused('3', caller).toMatchObject({
      code: 'limited',
      message: `the limit of 2 sessions of one identity is reached (${caller})`,
    });
    // A token of the same identity counts with it.
    await refused('3', `${caller} by token`).toMatchObject({ code: 'limited' });
    await service.poll(asNode('3'), account('b'), open);
    await refused('4', account('c')).toMatchObject({
      code: 'limited',
      message: 'the limit of 3 sessions of one namespace is reached (default)',
    });
    await service.poll(asNode('4'), account('c', 'other'), open);
    expect(service.held).toBe(2);
    service.close();
    await Promise.all(held);
  });

  it('at a limit takes the place of sessions that are not live, never of live ones', async () => {
    const { service, clock } = harness({ limits: { perIdentity: 2 } });
    const asNode = (id: string): DiscoveryPoll => ({ ...first(), node: { ...node, id } });
    await service.poll(asNode('left'), caller, open);
    clock.advance(29_000);
    const live = { ...ack(await service.poll(asNode('live'), caller, open)), node: { ...node, id: 'live' } };
    const held = service.poll(live, caller, open);
    await expect(service.poll(asNode('new'), caller, open)).rejects.toMatchObject({ code: 'limited' });
    clock.advance(1001);
    await service.poll(asNode('new'), caller, open);
    expect(service.status().map(({ id }) => id)).toEqual(['live', 'new']);
    await expect(service.poll(asNode('newer'), caller, open)).rejects.toMatchObject({ code: 'limited' });
    expect(service.held).toBe(1);
    service.close();
    await held;
  });

  it('keeps what a node had when it cannot be compiled any more', async () => {
    let broken = false;
    const lines: string[] = [];
    const { service, clock, change } = harness({
      compile: fixedCompile(() => {
        if (broken) throw new Error('boom');
        return { secrets: [], clusters: [{ name: 'a' }], endpoints: [], listeners: [], routes: [] };
      }),
      log: (line) => lines.push(line),
    });
    const held = service.poll(ack(await service.poll(first(), caller, open)), caller, open);
    change(() => (broken = true));
    await vi.waitFor(() => expect(service.status()[0]!.error).toBe('boom'));
    clock.advance(25_000);
    expect((await held).responses).toEqual([]);
    expect(lines).toEqual([
      expect.stringMatching(/cannot compile config for node ".*" \(VirtualService shop\/a\): boom$/),
    ]);
  });

  it('knows which writes changed what a proxy should run', async () => {
    const { service, clusters, change, clock } = harness();
    const lastChange = () => service.status()[0]!.lastChange;
    let answer = await service.poll(first(), caller, open);
    expect(lastChange()).toEqual({ at: '1970-01-01T00:16:40.000Z', reason: 'first poll' });
    const held = service.poll(ack(answer), caller, open);
    clock.advance(1000);
    change(() => clusters.set('b', '1s'), 'shop/b');
    answer = await held;
    expect(lastChange()).toEqual({ at: '1970-01-01T00:16:41.000Z', reason: 'VirtualService shop/b' });
    // Between two polls changes gather.
    change(() => {}, 'shop/c');
    change(() => clusters.set('d', '1s'), 'shop/d');
    await service.poll(ack(answer), caller, open);
    expect(lastChange()?.reason).toBe('VirtualService shop/c, VirtualService shop/d');
  });

  it('reports what compiling finds, by session, and nothing of a session that is forgotten', async () => {
    const about = { apiVersion: 'networking.istio.io/v1', kind: 'VirtualService', metadata: { name: 'a' } };
    const errors: readonly Finding[] = [{ about, reason: 'RuleNotTranslated', message: 'http[0]: x' }];
    const found = new Map<object, readonly Finding[]>();
    const lines: string[] = [];
    const { service, clock } = harness({
      compile: oneStepCompile(() => ({
        sets: setsOf({ secrets: [], clusters: [], endpoints: [], listeners: [], routes: [] }),
        errors,
      })),
      status: { report: (session, findings) => void found.set(session, findings) },
      log: (line) => lines.push(line),
    });
    const abort = new AbortController();
    await service.poll(first(), caller, abort.signal);
    expect([...found.values()]).toEqual([errors]);
    clock.advance(400_000);
    await service.poll({ ...first(), node: { ...node, id: 'sidecar~10.0.0.2~b.default~x' } }, caller, open);
    expect([...found.values()]).toEqual([[], errors]);
    const consequence = 'requests that this rule matches are answered with 500';
    expect(lines).toEqual([`config: VirtualService default/a: http[0]: x: ${consequence}`]);
  });

  it('keeps the session of a proxy whose first poll is being compiled when another uses its node id', async () => {
    const { service } = harness();
    const [one, two] = await Promise.all([service.poll(first(), caller, open), service.poll(first(), caller, open)]);
    expect(two.session).not.toBe(one.session);
    for (const { session } of [one, two])
      expect((await service.poll({ session, node, requests: first().requests }, caller, open)).session).toBe(session);
  });

  it('reports a node that cannot be compiled until it can, whatever changes in the mesh', async () => {
    const broken = { ...node, metadata: { ...node.metadata, BROKEN: 'yes' } };
    const compiled = (): CompiledNode => ({
      sets: setsOf({ secrets: [], clusters: [{ name: 'a' }], endpoints: [], listeners: [], routes: [] }),
      errors: [],
      next: () => oneStep(compiled),
    });
    const { service, change, clock } = harness({
      compile: oneStepCompile(({ metadata }) => {
        if (metadata?.['BROKEN']) throw new Error('BROKEN must be absent');
        return compiled();
      }),
    });
    const one = await service.poll(first(), caller, open);
    const held = service.poll({ ...ack(one), node: broken }, caller, open);
    await vi.waitFor(() => expect(service.status()[0]?.error).toBe('BROKEN must be absent'));
    change(() => {});
    clock.advance(30_000);
    await held;
    const again = service.poll({ session: one.session, node: broken, requests: [] }, caller, open);
    await vi.waitFor(() => expect(service.held).toBe(1));
    expect(service.status()[0]?.error).toBe('BROKEN must be absent');
    clock.advance(30_000);
    await again;
    const mended = service.poll({ session: one.session, node, requests: [] }, caller, open);
    await vi.waitFor(() => expect(service.status()[0]?.error).toBeUndefined());
    service.close();
    await mended;
  });

  it('refuses unknown types, and lets go of the mesh when closed', async () => {
    const { service, listeners } = harness();
    const poll = { node, requests: [{ typeUrl: 'type.googleapis.com/x' }] };
    await expect(service.poll(poll, caller, open)).rejects.toMatchObject({ code: 'invalid' });
    service.close();
    expect(listeners.size).toBe(0);
  });

  it('compiles once per view, however many polls', async () => {
    const { service, counts, clock } = harness({ holdMs: 10 });
    let answer = await service.poll(first(), caller, open);
    for (let i = 0; i < 3; i++) {
      const held = service.poll(ack(answer), caller, open);
      clock.advance(10);
      answer = await held;
    }
    expect(counts.compiled).toBe(1);
  });
});

describe('versions', () => {
  it('do not depend on the order of fields and do on everything else', () => {
    expect(canonicalJson({ b: [1, { d: null, c: 'x' }], a: undefined })).toBe('{"b":[1,{"c":"x","d":null}]}');
    expect(digest({ a: 1, b: 2 })).toBe(digest({ b: 2, a: 1 }));
    expect(digest([1, 2])).not.toBe(digest([2, 1]));
  });
});
