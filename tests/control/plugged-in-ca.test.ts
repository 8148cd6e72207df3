/** A control plane whose certificate authority is plugged in: the root is changed by its files, without a restart. */
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openAuthority } from '../../control/ca/authority.ts';
import { type ControlPlane, startControlPlane } from '../../control/control-plane.ts';
import { temporaryFolder } from '../kit/environment.ts';
import { until } from '../kit/waiting.ts';

const folder = temporaryFolder();
const file = (...path: string[]) => join(folder.path, ...path);
const root = (name: string) => readFileSync(file(name, 'root-cert.pem'), 'utf8');
let plane: ControlPlane;

beforeAll(async () => {
  for (const name of ['used', 'next']) {
    await openAuthority({ folder: file(name), trustDomain: 'cluster.local' });
    rmSync(file(name, 'root-key.pem'));
  }
  plane = await startControlPlane({
    data: file('data'),
    caFolder: file('used'),
    address: '127.0.0.1',
    port: 0,
    dnsNames: [],
    ips: [],
    trustDomain: 'cluster.local',
    svidTtl: 3600,
    version: '0',
    log: () => {},
  });
});
afterAll(async () => {
  await plane.stop();
  folder.dispose();
});

/** The bundle that the control plane gives a client that trusts `ca`. */
const bundleFor = (ca: string): Promise<string> =>
  new Promise((done, fail) => {
    const call = request(new URL('/v1/trust-bundle', plane.url), { ca, agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      answer.once('error', fail).once('end', () => done((JSON.parse(text) as { trustBundle: string }).trustBundle));
    });
    call.once('error', fail).end();
  });

it('trusts a second root, issues by it, and forgets the first one, as the files say', {
  timeout: 120_000,
}, async () => {
  const [before, next] = [root('used'), root('next')];
  expect(await bundleFor(before)).toBe(before);
  await expect(bundleFor(next)).rejects.toThrow(/certificate/);

  writeFileSync(file('used', 'root-cert.pem'), before + next);
  await until('both roots are trusted', async () => (await bundleFor(before)) === before + next);

  for (const name of ['ca-key.pem', 'ca-cert.pem', 'cert-chain.pem'])
    copyFileSync(file('next', name), file('used', name));
  await until('the new root has issued its certificate', () => bundleFor(next));

  writeFileSync(file('used', 'root-cert.pem'), next);
  await until('the old root is trusted no more', async () => (await bundleFor(next)) === next);
  await expect(bundleFor(before)).rejects.toThrow(/certificate/);
});
