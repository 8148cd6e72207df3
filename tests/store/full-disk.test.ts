/** A control plane whose disk is full: it says so, loses nothing that it acknowledged, and writes again once there is room. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { RestartableControl } from '../control/control-process.ts';
import { LINUX, temporaryFolder } from '../kit/environment.ts';
import { freePorts } from '../kit/ports.ts';
import { outputOf, works } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';

const folder = temporaryFolder();
const disk = join(folder.path, 'disk');
mkdirSync(disk);
/** As root, where mounts are allowed. */
const mounted = LINUX && works('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', disk]);
if (!mounted) console.warn('skipped: no tmpfs can be mounted here (it needs root)');

let control: RestartableControl;
const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';
const acknowledged: string[] = [];
let made = 0;

beforeAll(async () => {
  if (!mounted) return;
  control = new RestartableControl(join(disk, 'mesh'), (await freePorts(1))[0]!);
  await control.start();
});
afterAll(async () => {
  if (mounted) {
    await control?.kill();
    outputOf('umount', [disk]);
  }
  folder.dispose();
});

async function write(bytes: number) {
  const name = `m${made++}`;
  const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { text: 'x'.repeat(bytes) } };
  const answer = await control.api.request('POST', CONFIG_MAPS, body);
  if (answer.status === 201) acknowledged.push(name);
  return answer;
}

async function expectAll(): Promise<void> {
  const { items } = await control.api.call<{ items: { metadata: { name: string } }[] }>('GET', CONFIG_MAPS);
  const there = new Set(items.map(({ metadata }) => metadata.name));
  expect(acknowledged.filter((name) => !there.has(name))).toEqual([]);
}

it.skipIf(!mounted)('answers 507 while the disk is full, and continues by itself once there is room', async () => {
  for (let at = 0; at < 5; at++) expect((await write(1000)).status).toBe(201);
  const filler = join(disk, 'filler');
  // Until nothing fits any more.
  for (let size = 4 << 20; size >= 4096; size >>= 1)
    for (let at = 0; ; at++) {
      try {
        writeFileSync(`${filler}-${size}-${at}`, Buffer.alloc(size, 1));
      } catch {
        break;
      }
    }
  const refused = await until('a write is refused', async () => {
    const answer = await write(20_000);
    return answer.status !== 201 && answer;
  });
  expect(refused).toMatchObject({
    status: 507,
    body: {
      kind: 'Status',
      reason: 'InsufficientStorage',
      message: expect.stringContaining('is full'),
      details: { retryAfterSeconds: 5 },
    },
  });
  // What a file of its own would hold is refused in the same way, and reads are answered.
  const token = await control.api.request('POST', '/v1/join-tokens', { namespace: 'default', serviceAccount: 'a' });
  expect(token).toMatchObject({ status: 507, body: { reason: 'InsufficientStorage' } });
  await expectAll();

  outputOf('find', [disk, '-maxdepth', '1', '-name', 'filler-*', '-delete']);
  expect((await write(20_000)).status).toBe(201);
  expect(
    (await control.api.request('POST', '/v1/join-tokens', { namespace: 'default', serviceAccount: 'a' })).status,
  ).toBe(200);
  await expectAll();
  await control.kill();
  await control.start();
  await expectAll();
});

it.skipIf(!mounted)('loses no acknowledged write when it is killed under writes on a disk that fills up', async () => {
  const lanes = Array.from({ length: 4 }, async () => {
    for (;;) {
      const answer = await write(30_000).catch(() => undefined);
      if (!answer) return;
      expect([201, 507]).toContain(answer.status);
    }
  });
  await until('writes are refused', async () => made > acknowledged.length + 12);
  await control.kill();
  await Promise.all(lanes);
  outputOf('mount', ['-o', 'remount,size=40m', disk]);
  await control.start();
  await expectAll();
  expect((await write(30_000)).status).toBe(201);
});
