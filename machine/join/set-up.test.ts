import { describe, expect, it } from 'vitest';
import type { JoinAnswer } from '../../shared/join/join-protocol.ts';
import { hostLayout } from '../host/layout.ts';
import { Systemd } from '../service/systemd.ts';
import { MemoryHost } from '../testing/memory-host.ts';
import { leaveMesh } from './leave.ts';
import { readRecord } from './record.ts';
import { type JoinPlan, setUp, startedUnits } from './set-up.ts';
import { Undo } from './undo.ts';

const layout = hostLayout(0, {});
const answer: JoinAnswer = {
  certificateChain: 'chain',
  trustBundle: 'roots',
  notAfter: '2026-01-01T00:00:00Z',
  spiffeId: 'spiffe://td/ns/shop/sa/reviews',
  namespace: 'shop',
  serviceAccount: 'reviews',
  group: 'reviews',
  labels: { app: 'reviews' },
  ports: { http: 9080 },
  ephemeral: false,
  controlPlanes: ['https://10.0.0.1:15012'],
};
const joined = { answer, identity: { privateKey: 'key', certificateChain: 'chain', trustBundle: 'roots' } };
const plan: JoinPlan = {
  rootHash: 'ab'.repeat(32),
  name: 'vm1',
  address: '10.0.0.9',
  capture: true,
  ipv6: true,
  dns: true,
  service: 'systemd',
  applications: ['app.service'],
  installed: undefined,
};

async function attempt(host: MemoryHost, undo: Undo, what: JoinPlan = plan) {
  const systemd = new Systemd(host, layout);
  const record = await setUp(what, joined, { host, layout, systemd, tulle: ['/usr/local/bin/tulle'] }, undo);
  await systemd.start(startedUnits(record));
  return record;
}

const changesOfAll = async () => {
  const host = new MemoryHost();
  await attempt(host, new Undo());
  return host.changes;
};

describe('a join that fails at any of its changes leaves nothing behind', async () => {
  const count = await changesOfAll();
  it('has changes', () => expect(count).toBeGreaterThan(15));
  it.each(Array.from({ length: count }, (_, at) => at + 1))('change %i', async (at) => {
    const host = new MemoryHost(at);
    const before = host.state();
    const undo = new Undo();
    await expect(attempt(host, undo)).rejects.toThrow(/refused|disk full|read-only/);
    expect(await undo.run()).toEqual([]);
    expect(host.state()).toEqual(before);
  });
});

it('leaves what was there before the join', async () => {
  const host = new MemoryHost();
  const before = host.state();
  await attempt(host, new Undo());
  expect(host.files.get('/var/lib/tulle/identity.json')).toContain('"privateKey":"key"');
  expect(host.started).toContain('tulle-proxy.service');
  const record = await readRecord(host, layout);
  expect(record).toMatchObject({ spiffeId: answer.spiffeId, madeUser: 'tulle', applications: ['app.service'] });
  const parts = { host, layout, systemd: new Systemd(host, layout), hostOff: async () => {}, report: () => {} };
  expect(await leaveMesh(record, parts)).toEqual([]);
  expect(host.state()).toEqual(before);
});

it('keeps a user that was there before the join, and refuses the data of another proxy', async () => {
  const host = new MemoryHost();
  host.files.set('/etc/passwd', 'root:x:0:0::/root:/bin/sh\ntulle:x:7:7::/:/usr/sbin/nologin\n');
  const record = await attempt(host, new Undo());
  expect(record.madeUser).toBeUndefined();
  const undo = new Undo();
  await expect(attempt(host, undo)).rejects.toThrow('/var/lib/tulle/identity.json is there already');
});

it.each([
  ['a person', 'tulle:x:1000:1000::/home/tulle:/usr/sbin/nologin', ''],
  ['a shell', 'tulle:x:7:7::/:/bin/bash', ''],
  ['the default shell', 'tulle:x:7:7::/:', ''],
  ['root', 'tulle:x:0:0::/:/bin/false', ''],
  ['a person by login.defs', 'tulle:x:700:700::/:/bin/false', '# UID\nUID_MIN\t500\nUID_MAX 60000\n'],
])('refuses to run the proxy as a user that is there: %s', async (_, line, defs) => {
  const host = new MemoryHost();
  host.files.set('/etc/passwd', `root:x:0:0::/root:/bin/sh\n${line}\n`);
  host.files.set('/etc/login.defs', defs);
  await expect(attempt(host, new Undo())).rejects.toThrow(
    /^user tulle is there already with uid \d+ and shell .*rename it/,
  );
  expect(host.changes).toBe(0);
});

it('runs the proxy as a system user that is there, by the range of login.defs', async () => {
  const host = new MemoryHost();
  host.files.set('/etc/passwd', 'root:x:0:0::/root:/bin/sh\ntulle:x:1500:1500::/:/bin/false\n');
  host.files.set('/etc/login.defs', 'UID_MIN 2000\nSYS_UID_MAX 1999\n');
  expect((await attempt(host, new Undo())).madeUser).toBeUndefined();
});

it('reports a unit of an application that does not exist', async () => {
  await expect(attempt(new MemoryHost(), new Undo(), { ...plan, applications: ['none.service'] })).rejects.toThrow(
    'there is no unit none.service',
  );
});
